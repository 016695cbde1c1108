"""The layers hold: flows → tasks → blocks → anime, and a core that does no I/O.

Read from the source, not from what happens to be imported. The examples at the end show that
each rule would notice.
"""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from anime.settings import PROJECT_DIR

OURS = frozenset({"flows", "tasks", "blocks", "anime"})
ABOVE_ALL = ("benchmarks", "tests")
ENTRY_POINTS = ("anime.api", "anime.cli", "anime.stack", "anime.worker")
MAX_ROOMS = 15
MAX_SINGLE_MODULES = 3
IMPURE = frozenset(
    {
        *("asyncio", "concurrent", "ctypes", "fileinput", "ftplib", "getpass", "glob", "http"),
        *("imaplib", "io", "locale", "logging", "mmap", "multiprocessing", "os", "platform"),
        *("random", "secrets", "select", "selectors", "shelve", "shutil", "signal", "smtplib"),
        *("socket", "socketserver", "sqlite3", "ssl", "subprocess", "tempfile", "threading"),
        *("time", "urllib", "uuid.uuid1", "uuid.uuid4", "zoneinfo"),
    }
)
IMPURE_CALLS = frozenset({"open", "input", "print", "now", "today", "utcnow", "uuid1", "uuid4"})
CORE_MAY_IMPORT = ("anime.core", "anime.errors", "anime.schemas", "pydantic", "pydantic_core")
FLOW_MAX_LINES = 25
FLOWS_LEAVE_TO_TASKS = ("httpx", "sqlalchemy", "psycopg", "asyncpg", "redis", "websockets")


@dataclass(frozen=True)
class Source:
    """One module of ours."""

    name: str
    tree: ast.Module

    def imports(self) -> Iterator[str]:
        """Every module or name it imports, in full."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def calls(self) -> Iterator[str]:
        """The last name of everything it calls."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func).rpartition(".")[2]

    def is_below(self, *packages: str) -> bool:
        return any(within(self.name, package) for package in packages)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@cache
def sources() -> list[Source]:
    paths = (path for top in sorted(OURS) for path in sorted((PROJECT_DIR / top).rglob("*.py")))
    return [Source(module_name(path), ast.parse(path.read_bytes(), str(path))) for path in paths]


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT_DIR).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_faults(source: Source) -> list[str]:
    """What it imports from a layer above its own."""
    top = source.name.split(".")[0]
    above = {
        "flows": (),
        "tasks": ("flows",),
        "blocks": ("flows", "tasks"),
        "anime": () if source.is_below(*ENTRY_POINTS) else ("flows", "tasks", "blocks"),
    }[top]
    if source.is_below("anime.api"):
        above = ("flows", "tasks")
    if source.is_below("anime.runs"):  # between flows and tasks
        above = ("flows",)
    elif top != "flows":
        above = (*above, "anime.runs")
    above = (*above, *ABOVE_ALL)
    return [name for name in source.imports() if any(within(name, package) for package in above)]


def core_faults(source: Source) -> list[str]:
    """What a module of the core imports or calls that could do I/O or differ from run to run."""
    return [name for name in source.imports() if not core_may_import(name)] + [
        f"{call}()" for call in source.calls() if call in IMPURE_CALLS
    ]


def core_may_import(name: str) -> bool:
    if any(within(name, impure) for impure in IMPURE):
        return False
    if name.partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(within(name, package) for package in CORE_MAY_IMPORT)


def environment_faults(source: Source) -> list[str]:
    """Where it reads the environment."""
    names = {"os.environ", "os.getenv", "os.environb"}
    attributes = (node for node in ast.walk(source.tree) if isinstance(node, ast.Attribute))
    return [text for node in attributes if (text := ast.unparse(node)) in names] + [
        name for name in source.imports() if name in names
    ]


def commit_faults(source: Source) -> list[str]:
    return [call for call in source.calls() if call == "commit"]


def flow_faults(source: Source) -> list[str]:
    """What a flow does itself that belongs into a task."""
    imports = (name for name in source.imports() if name.partition(".")[0] in FLOWS_LEAVE_TO_TASKS)
    return [*imports, *(call for call in source.calls() if call in {"open", "text"})]


def flows_of(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = {ast.unparse(part).partition("(")[0] for part in node.decorator_list}
            if "flow" in decorators:
                yield node


def length_faults(source: Source) -> list[str]:
    """Flows that are no table of contents: more than 25 lines below the docstring, or waiting."""
    found = []
    for flow in flows_of(source):
        body = flow.body[1:] if ast.get_docstring(flow) else flow.body
        if body and (body[-1].end_lineno or 0) - body[0].lineno >= FLOW_MAX_LINES:
            found.append(f"{flow.name} is longer than {FLOW_MAX_LINES} lines")
        if "sleep" in Source(source.name, ast.Module([flow], [])).calls():
            found.append(f"{flow.name} sleeps")
    return found


def cycles(imports: Mapping[str, Collection[str]]) -> list[str]:
    """Every ring of names that import each other, as a sentence."""
    sorter = TopologicalSorter(imports)
    try:
        sorter.prepare()
    except CycleError as fault:
        return [" → ".join(fault.args[1])]
    return []


def imports_among(sources: Iterable[Source]) -> dict[str, set[str]]:
    """Which of these modules each of them imports, in functions and for type checkers too."""
    known = {source.name: source for source in sources}
    return {
        name: {module for text in source.imports() for module in owner_in(known, text)} - {name}
        for name, source in known.items()
    }


def owner_in(known: Collection[str], imported: str) -> list[str]:
    """The module of ours that an imported name belongs to, if any."""
    return [name for name in (imported, imported.rpartition(".")[0]) if name in known][:1]


def room_of(module: str) -> str:
    """`anime.jobs` for all that is in it; a top-level folder; or a single module itself."""
    return (
        ".".join(module.split(".")[:2])
        if module.startswith("anime.")
        else module.split(".", maxsplit=1)[0]
    )


def rooms(imports: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Which rooms each room imports from."""
    found: dict[str, set[str]] = {}
    for module, others in imports.items():
        of_others = {room_of(other) for other in others} - {room_of(module)} - SINGLE_MODULES
        found.setdefault(room_of(module), set()).update(of_others)
    return {room: others for room, others in found.items() if room not in SINGLE_MODULES}


def doubled_names(sources: Iterable[Source]) -> list[str]:
    """Class names that two modules have."""
    places: dict[str, list[str]] = {}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(source.name)
    return [f"{name}: {', '.join(of)}" for name, of in sorted(places.items()) if len(of) > 1]


SINGLE_MODULES = {f"anime.{path.stem}" for path in (PROJECT_DIR / "anime").glob("[!_]*.py")}


def faults(rule: object, *, below: tuple[str, ...] = (), but: tuple[str, ...] = ()) -> list[str]:
    assert callable(rule)
    chosen = [
        source
        for source in sources()
        if (not below or source.is_below(*below)) and not (but and source.is_below(*but))
    ]
    assert chosen
    return [f"{source.name}: {fault}" for source in chosen for fault in rule(source)]


def test_no_layer_imports_from_one_above_it() -> None:
    assert faults(layer_faults) == []


def test_the_core_does_no_io_and_knows_neither_time_nor_chance() -> None:
    assert faults(core_faults, below=("anime.core",)) == []


def test_the_environment_is_read_in_one_place() -> None:
    # anime.stack hands its own environment on to the programs it starts.
    assert faults(environment_faults, but=("anime.settings", "anime.stack")) == []


def test_one_module_commits() -> None:
    assert faults(commit_faults, but=("anime.db.session",)) == []


def test_flows_leave_http_sql_and_files_to_tasks() -> None:
    assert faults(flow_faults, below=("flows",)) == []


def test_a_flow_reads_as_a_table_of_contents() -> None:
    assert faults(length_faults, below=("flows",)) == []


def test_no_module_and_no_room_imports_from_one_that_imports_it() -> None:
    imports = imports_among(sources())
    assert cycles(imports) == []
    assert cycles(rooms(imports)) == []


def test_no_class_name_means_two_things() -> None:
    assert doubled_names(sources()) == []


def test_the_top_of_the_package_is_seen_at_one_glance() -> None:
    folders = [
        path for path in (PROJECT_DIR / "anime").iterdir() if (path / "__init__.py").exists()
    ]
    assert len(folders) <= MAX_ROOMS
    assert len(SINGLE_MODULES) <= MAX_SINGLE_MODULES


def test_cycles_and_doubled_names_are_noticed() -> None:
    there = Source("anime.a.x", ast.parse("if TYPE_CHECKING:\n    from anime.b.y import Y"))
    back = Source("anime.b.y", ast.parse("def f():\n    from anime.a import x"))
    assert cycles(imports_among([there, back]))
    assert cycles(rooms({"anime.a.x": ["anime.b.y"], "anime.b.z": ["anime.a.v"]}))
    twins = [Source(name, ast.parse("class Page: ...")) for name in ("anime.a", "anime.b")]
    assert doubled_names(twins) == ["Page: anime.a, anime.b"]


@pytest.mark.parametrize(
    ("rule", "name", "code"),
    [
        (layer_faults, "tasks.files", "from flows.generate import generate"),
        (layer_faults, "anime.core.paths", "import blocks.comfyui"),
        (layer_faults, "anime.runs.render", "from flows.generate import generate"),
        (layer_faults, "tasks.files", "from anime.runs.render import render"),
        (layer_faults, "anime.api.app", "def route():\n    from flows import generate"),
        (layer_faults, "anime.stack.supervisor", "from benchmarks.timing import percentile"),
        (core_faults, "anime.core.paths", "import os"),
        (core_faults, "anime.core.paths", "from uuid import uuid4"),
        (core_faults, "anime.core.paths", "import httpx"),
        (core_faults, "anime.core.paths", "from anime.settings import Settings"),
        (core_faults, "anime.core.paths", "datetime.now()"),
        (environment_faults, "anime.db.session", "import os\nos.environ['HOME']"),
        (environment_faults, "anime.db.session", "from os import getenv"),
        (commit_faults, "anime.db.repositories", "session.commit()"),
        (flow_faults, "flows.generate", "import httpx"),
        (flow_faults, "flows.generate", "text('SELECT 1')"),
        (length_faults, "flows.generate", "@flow\nasync def f():\n    await asyncio.sleep(1)"),
        (length_faults, "flows.generate", "@flow(name='f')\ndef f():\n" + "    f()\n" * 26),
    ],
)
def test_each_rule_notices(rule: object, name: str, code: str) -> None:
    assert callable(rule)
    assert rule(Source(name, ast.parse(code)))


@pytest.mark.parametrize(
    ("rule", "name", "code"),
    [
        (layer_faults, "flows.generate", "from tasks.files import organise"),
        (layer_faults, "anime.api.app", "from blocks.database import Database"),
        (core_faults, "anime.core.paths", "from uuid import UUID\nimport json, pydantic"),
        (core_faults, "anime.core.paths", "from anime.core.graphs import Graph"),
        (length_faults, "flows.generate", "@flow\ndef f():\n" + "    f()\n" * 25),
    ],
)
def test_each_rule_lets_pass_what_is_right(rule: object, name: str, code: str) -> None:
    assert callable(rule)
    assert not rule(Source(name, ast.parse(code)))
