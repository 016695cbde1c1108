"""Workflows in files: read from JSON, pictures, films and sound, and graphs written as JSON."""

import json
from pathlib import Path

from anime.assets.inspection.whole_file import inspect_file
from anime.assets.limited_process import LimitedFunction, ask_kept
from anime.assets.store import write_file
from anime.core.conversion.sources import WorkflowSource, workflow_in_json, workflow_in_texts
from anime.core.graphs import Graph
from anime.core.media_types import HEAD_BYTES, media_type_by_content
from anime.core.png_metadata import PNG_SIGNATURE, has_other_graph
from anime.errors import AlreadyExists, ConfigurationError, InvalidWorkflow, UnusableFile

MAX_JSON_BYTES = 32 * 1024 * 1024  # a workflow of ten thousand nodes is some five


def load_workflow(path: Path) -> WorkflowSource:
    """The workflow in a file: JSON, or a picture, film or sound that carries one.

    It is read in the process with limits that is kept. It blocks.

    Raises:
        InvalidWorkflow: the file cannot be read, is too large, or holds no workflow.
    """
    died = InvalidWorkflow(
        "It cannot be read: its reader crashed, or took too much time or memory.",
        "Give the workflow itself, as JSON.",
    )
    return ask_kept(died, _READ, path)


def read_workflow(path: Path) -> WorkflowSource:
    """What `load_workflow` finds, read here.

    Raises:
        InvalidWorkflow: the file cannot be read, is too large, or holds no workflow.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            if media_type_by_content(head) is None:
                return workflow_in_json(_text_of(head + stream.read(MAX_JSON_BYTES + 1)))
        return _in_media(path, is_png=head.startswith(PNG_SIGNATURE))
    except (OSError, ValueError) as fault:  # ValueError: a path with a NUL byte
        raise InvalidWorkflow(
            f"It cannot be read: {getattr(fault, 'strerror', None) or fault}.",
            "Give a file that you may read.",
        ) from None


_READ = LimitedFunction(read_workflow, WorkflowSource)


def write_graph(graph: Graph, path: Path, *, may_replace: bool) -> None:
    """Write a graph to a file, the whole of it or nothing.

    Raises:
        AlreadyExists: the file is there, and must not be replaced.
        ConfigurationError: the folder cannot take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, graph_text(graph).encode(), replaces=may_replace)
    except FileExistsError:
        raise AlreadyExists(
            f"{path} is there already.", "Give --replace, or another --output-dir."
        ) from None
    except OSError as fault:
        raise ConfigurationError(
            f"{path} cannot be written: {fault.strerror}.", "Give another --output-dir."
        ) from None


def _text_of(content: bytes) -> str:
    if len(content) > MAX_JSON_BYTES:
        raise InvalidWorkflow(
            f"It is larger than {MAX_JSON_BYTES // 2**20} MB, which no workflow is.",
            "Give the workflow itself, without anything else in the file.",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidWorkflow(
            "It is neither a text in UTF-8 nor a picture, film or sound.",
            "Give a workflow that ComfyUI's editor saved, or a file that ComfyUI made.",
        ) from None


def _in_media(path: Path, *, is_png: bool) -> WorkflowSource:
    try:
        texts = inspect_file(path).texts
    except UnusableFile as fault:
        raise InvalidWorkflow(fault.what, "Give the file as ComfyUI wrote it.") from None
    if is_png and has_other_graph(path.read_bytes()):
        raise InvalidWorkflow(
            "It holds two different graphs in API format.",
            "Say which one is meant: give that alone, as a file of its own.",
        )
    return workflow_in_texts(texts)


def graph_text(graph: Graph) -> str:
    """Readable JSON; with escapes where a text has half a sign, which UTF-8 cannot hold."""
    text = json.dumps(graph, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(graph, indent=2)
    return f"{text}\n"
