"""F40, F41, F46: many files at once, names that come again, and names that mean harm."""

import hashlib
import os
from pathlib import Path
from random import Random

from anime.core.sweep_plan import Mode
from tests.faults.children import ended, place_at_once, started
from tests.integration.import_folder import MADE, Stage, counts, picture
from tests.support.forks import FORKS

RIVALS = 16
HOSTILE = 300
PIECES = (
    *(b"..", b"/", b"\n", b"\r", b"\t", b"\x7f", b"\xff\xfe", b"\xe2\x80\xae", b"\xf0\x9f\xa6\x8a"),
    *(b"CON", b"nul", b" ", b".", b"'", b'"', b";", b"$(x)", b"%s", b"-rf", b"*", b"?", b"\\"),
    *("é".encode(), "é".encode(), "東京".encode(), b"a" * 80, b"<b>", b"|", b"~", b":"),
)


def hostile_names(number: int) -> list[bytes]:
    """Names of at most 255 bytes that a file system takes, no two alike."""
    random = Random(46)
    names: dict[bytes, None] = {b"x" * 251 + b".png": None, b"\n.png": None, b"-.png": None}
    while len(names) < number:
        name = b"".join(random.choices(PIECES, k=random.randrange(1, 9))).replace(b"/", b"")
        name = name.lstrip(b".")[:240] + b".png"
        names[name if name != b".png" else b"_.png"] = None
    return list(names)


async def test_f40_all_outputs_of_one_second_come_in(stage: Stage) -> None:
    for number in range(64):
        stage.put(f"batch_{number:05}_.png", picture(number), made=MADE)
    assert counts(await stage.sweep()) == {"organised": 64}
    assert len(stage.files()) == len(set(await stage.rows("sha256"))) == 64


async def test_f41_the_same_name_comes_again_after_the_first_was_moved(stage: Stage) -> None:
    for number in range(5):
        stage.put("ComfyUI_00001_.png", picture(number))
        assert counts(await stage.sweep(Mode.MOVE)) == {"organised": 1}
    contents = {(stage.library / name).read_bytes() for name in stage.files()}
    assert contents == {picture(number) for number in range(5)}
    assert {path for (path,) in await stage.rows("file_path")} == {
        str(stage.library / name) for name in stage.files()
    }


async def test_f41_two_servers_use_one_name_and_somebody_else_has_it_already(stage: Stage) -> None:
    taken = stage.library / "unorganized/images/20251202/ComfyUI_00001_.png"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody else's")
    for number, server in enumerate(("one", "two")):
        folder = stage.output / server
        folder.mkdir()
        each = Stage(folder, stage.library, stage.database, stage.database_url)
        each.put("ComfyUI_00001_.png", picture(number))
        assert counts(await each.sweep()) == {"organised": 1}
    assert taken.read_bytes() == b"somebody else's"
    assert len(stage.files()) == 3
    assert len(await stage.rows()) == 2


async def test_f41_sixteen_processes_place_the_same_name(stage: Stage) -> None:
    ready = FORKS.Barrier(RIVALS)
    target = "unorganized/images/20251202/a.png"
    processes = []
    for number in range(RIVALS):
        source = stage.put(f"{number}.png", picture(number))
        sha256 = hashlib.sha256(picture(number)).hexdigest()
        arguments = (ready, source, stage.library, target, sha256)
        processes.append(started(place_at_once, *arguments))
    assert [await ended(process) for process in processes] == [0] * RIVALS
    contents = {(stage.library / name).read_bytes() for name in stage.files()}
    assert contents == {picture(number) for number in range(RIVALS)}
    assert len(stage.files()) == RIVALS


async def test_f41_sixteen_processes_place_one_content_under_one_name(stage: Stage) -> None:
    ready = FORKS.Barrier(RIVALS)
    sha256 = hashlib.sha256(picture(1)).hexdigest()
    sources = [stage.put(f"{number}.png", picture(1)) for number in range(RIVALS)]
    arguments = (stage.library, "unorganized/images/20251202/a.png", sha256)
    processes = [started(place_at_once, ready, source, *arguments) for source in sources]
    assert [await ended(process) for process in processes] == [0] * RIVALS
    assert stage.files() == ["unorganized/images/20251202/a.png"]


async def test_f46_hostile_names_all_come_in_under_harmless_ones(stage: Stage) -> None:
    names = hostile_names(HOSTILE)
    for number, name in enumerate(names):
        stage.put(name, picture(number))
    assert counts(await stage.sweep()) == {"organised": HOSTILE}
    files = stage.files()
    assert len(files) == HOSTILE
    assert {Path(name).parent.as_posix() for name in files} == {"unorganized/images/20251202"}
    for kept in (Path(name).name for name in files):
        assert kept.isprintable()
        assert not set(kept) & set('/\\:*?"<>|')
        assert not kept.startswith((".", " "))
        assert len(os.fsencode(kept)) < 255
    assert len(await stage.rows()) == HOSTILE
    assert counts(await stage.sweep()) == {}


async def test_f46_a_move_takes_hostile_names_from_where_they_are(stage: Stage) -> None:
    names = hostile_names(40)
    for number, name in enumerate(names):
        stage.put(name, picture(number))
    assert counts(await stage.sweep(Mode.MOVE)) == {"organised": 40}
    assert list(stage.output.iterdir()) == []
    assert {(stage.library / name).read_bytes() for name in stage.files()} == {
        picture(number) for number in range(40)
    }
