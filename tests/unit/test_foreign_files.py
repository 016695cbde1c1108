"""What decodes foreign files runs in a process with limits, and in no program of ours itself.

Nor does a program take code from a folder with files of others for being started there.

Read from the source, as the layers are.
"""

import ast
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import pytest

from tests.unit.test_layers import Source, sources, within

DECODERS = ("PIL", "av", "openpyxl", "opentimelineio", "xml", "yaml", "zipfile")
ASKING = frozenset({"ask_kept", "ask_of_each", "call_kept", "call_limited"})
# What they do is done in a process with limits, apart from functions that ask for it there.
READERS = (
    *("anime.assets.inspection", "anime.assets.metadata", "anime.assets.shot_lists"),
    *("anime.assets.contact_sheet.cell_pictures", "anime.assets.pixel_difference"),
    *("anime.assets.thumbnails", "anime.assets.workflow_files"),
)
DRAWING = (  # pictures of our own
    *("anime.assets.contact_sheet.fonts", "anime.assets.contact_sheet.page"),
    *("anime.assets.contact_sheet.writer", "anime.cli.demo"),
)
ELSEWHERE = {
    "anime.rehearsal": "stands for ComfyUI, which decodes what it is sent",
    "anime.cli.batch_file": "reads what its user has written",
    "anime.api.zip_stream": "writes",
}
HARMLESS = {
    "format_of": "reads a name",
    "graph_text": "writes",
    "recipe_of_graph": "reads the graph of a job of ours",
    "usable_cores": "reads no file",
    "write_graph": "writes",
    "write_timeline": "writes",
}


@cache
def functions_of(module: str) -> dict[str, ast.FunctionDef]:
    """The functions of a module that are not asynchronous, by name."""
    return {
        node.name: node
        for source in sources()
        if source.name == module
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef)
    }


def decoder_faults(source: Source) -> list[str]:
    """Decoders that it imports, and should leave to readers; pictures that it opens."""
    if source.is_below(*READERS, *ELSEWHERE):
        return []
    if source.is_below(*DRAWING):
        return [name for name in opened_in(source.tree) if name in {"Image.open", "av.open"}]
    return [name for name in source.imports() if any(within(name, each) for each in DECODERS)]


def reading_faults(source: Source) -> list[str]:
    """Functions of readers that it would run in its own process."""
    if source.is_below(*READERS, *ELSEWHERE):
        return []
    return [
        name
        for name in reading_functions_imported(source)
        if name not in HARMLESS and uses_of(name, source.tree) != limited_in(source.tree, name)
    ]


def reading_functions_imported(source: Source) -> Iterator[str]:
    for imported in source.imports():
        module, _, name = imported.rpartition(".")
        function = functions_of(module).get(name) if any_within(module, READERS) else None
        if function is not None and not ASKING & set(Source(name, wrapped(function)).calls()):
            yield name


def any_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(within(name, each) for each in packages)


def wrapped(function: ast.FunctionDef) -> ast.Module:
    return ast.Module([function], [])


def uses_of(name: str, tree: ast.Module) -> int:
    return sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def limited_in(tree: ast.Module, name: str) -> int:
    """How often the function is wrapped to be called in a process with limits."""
    return sum(
        isinstance(node, ast.Call)
        and ast.unparse(node.func) == "LimitedFunction"
        and ast.unparse(node.args[0]) == name
        for node in ast.walk(tree)
    )


def opened_in(tree: ast.Module) -> Iterator[str]:
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def starting_faults(source: Source) -> list[str]:
    """Commands that run a module with modules of the folder in which they are started."""
    nodes = list(ast.walk(source.tree))
    listed = [[None, *node.elts] for node in nodes if isinstance(node, ast.List | ast.Tuple)]
    texts = [str(node.value) for node in nodes if isinstance(node, ast.Constant)]
    return [
        "-m without -P"
        for words in listed
        for before, word in pairwise(words)
        if is_word(word, "-m") and not is_word(before, "-P")
    ] + [text for text in texts if text.startswith("python -m ") and "\n" not in text]


def is_word(node: ast.expr | None, word: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == word


@pytest.mark.parametrize("rule", [decoder_faults, reading_faults, starting_faults])
def test_foreign_files_are_decoded_in_a_process_with_limits_only(rule: object) -> None:
    assert callable(rule)
    assert [f"{source.name}: {fault}" for source in sources() for fault in rule(source)] == []


@pytest.mark.parametrize(
    ("rule", "name", "code"),
    [
        (decoder_faults, "anime.api.thumbnails", "from PIL import Image"),
        (decoder_faults, "tasks.files", "def f():\n    import av"),
        (decoder_faults, "anime.assets.contact_sheet.page", "Image.open(path)"),
        (
            reading_faults,
            "anime.cli.metadata",
            "from anime.assets.inspection.whole_file import inspect_file\ninspect_file(path)",
        ),
        (starting_faults, "anime.stack.services", '(sys.executable, "-m", "anime.cli.app")'),
        (starting_faults, "anime.stack.services", '["-m", module]'),
        (starting_faults, "anime.worker.warm_worker", 'command = "python -m prefect.engine"'),
        (
            reading_faults,
            "anime.jobs.reproduction",
            "from anime.assets.thumbnails import first_frame\nmap(first_frame, paths)",
        ),
    ],
)
def test_each_rule_notices(rule: object, name: str, code: str) -> None:
    assert callable(rule)
    assert rule(Source(name, ast.parse(code)))


def test_what_is_asked_for_there_passes() -> None:
    code = """
from anime.assets.inspection.whole_file import describe_foreign, inspect_file, inspect_upload
_READ = LimitedFunction(inspect_file, Inspection)
describe_foreign(path)
"""
    assert not reading_faults(Source("anime.jobs.reuse", ast.parse(code)))
