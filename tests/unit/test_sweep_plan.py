"""Plans of a sweep: every target is within the library, and nothing is brought in twice."""

from datetime import UTC, datetime
from pathlib import PurePosixPath
from random import Random
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anime.core.assets import Asset, KnownAsset
from anime.core.ownership import Known, KnownJob, Sidecar
from anime.core.paths import FileKind
from anime.core.png_metadata import FileStamp
from anime.core.sweep_plan import (
    Calendar,
    Duplicate,
    ImportCandidate,
    Leave,
    Organise,
    Planner,
    Quarantine,
    Reason,
    Remember,
    ScannedFile,
    Unusable,
    is_candidate,
    storable,
    triage,
)

TOKYO = ZoneInfo("Asia/Tokyo")
CALENDAR = Calendar(TOKYO, datetime(2025, 12, 2, 20, tzinfo=UTC))  # the 3rd in Tokyo
MADE = int(datetime(2025, 12, 1, 16, tzinfo=UTC).timestamp() * 1e9)  # the 2nd in Tokyo
JOB = uuid4()
PIECES = [
    *(b"..", b".", b"\n", b"\t", b" ", b"\\", b"~", b"%2e", b"\xff\xfe", b"\xed\xa0\x80", b"-"),
    *("\u202e".encode(), "\u200f".encode(), "\u0301".encode(), "漫画".encode(), b"CON", b"x" * 255),
    *(b"C:", b"$(id)", b"`id`", b"\x1b[2J", b"\x7f", b".png", b".webp", b"'\"", b"*?", b"nul"),
]
HOSTILE = st.one_of(
    st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name),
    st.text(min_size=1, max_size=60)
    .map(lambda name: name.encode(errors="replace").replace(b"/", b"").replace(b"\0", b""))
    .filter(bool),
    st.sampled_from(
        [b"..", b".", b"a\nb", b"\xe2\x80\xae\x67\x6e\x70.png", b"CON.png", b"x" * 255]
    ),
)


def seen(path: str = "x.png", *, size: int = 9, sidecar: Sidecar | None = None) -> ImportCandidate:
    folder, _, name = path.rpartition("/")
    sighting = ScannedFile(
        f"/out/{folder}".encode(errors="surrogateescape"),
        name.encode(errors="surrogateescape"),
        size,
        MADE,
    )
    return ImportCandidate(sighting, path, sidecar)


def content(sha256: str = "ab" * 32, *, job_id: UUID | None = None, project: str = "") -> Asset:
    stamp = job_id and FileStamp(
        job_id=job_id,
        prompt="a fox",
        seed="7",
        workflow="txt2img",
        workflow_sha256="cd" * 32,
        project=project or None,
    )
    return Asset(sha256, "image/png", FileKind.IMAGES, 8, 8, 1, (1, 7), "{}", stamp or None)


def planner(kept: dict[str, KnownAsset] | None = None) -> Planner:
    return Planner(Known(), kept or {}, CALENDAR)


def test_a_new_file_goes_to_its_project_by_the_day_it_was_made_in_the_studio() -> None:
    step = planner().step(seen("a/fox.png"), content(job_id=JOB, project="Neon City"))
    assert isinstance(step, Organise)
    assert str(step.target) == "neon-city/images/20251202/fox.png"
    assert step.owner.job_id == JOB
    assert step.origin["prompt"] == "a fox"
    assert step.origin["owner_by"] == "stamp"


def test_of_several_files_with_one_content_the_first_is_organised() -> None:
    steps = planner().steps([(seen("a.png"), content()), (seen("b.png"), content())])
    assert [type(step) for step in steps] == [Organise, Duplicate]
    assert isinstance(steps[1], Duplicate)
    assert steps[1].path == str(steps[0].target) if isinstance(steps[0], Organise) else False


def test_what_the_library_has_already_is_a_duplicate_unless_it_is_the_very_file() -> None:
    sha256, kept = (
        "ab" * 32,
        KnownAsset(5, "/library/a.png", source_path="old/a.png", inode=(1, 3)),
    )
    step = planner({sha256: kept}).step(seen(), content(sha256))
    assert isinstance(step, Duplicate)
    assert step.file_id == 5
    linked = KnownAsset(5, "/library/a.png", inode=(1, 7))
    assert isinstance(planner({sha256: linked}).step(seen(), content(sha256)), Remember)
    recorded = KnownAsset(5, "/library/a.png", source_path="x.png")
    assert isinstance(planner({sha256: recorded}).step(seen(), content(sha256)), Remember)


def test_what_nobody_can_use_is_put_aside_under_the_day_of_the_sweep() -> None:
    step = planner().step(seen("a/broken.png"), Unusable("empty", "It is empty."))
    assert isinstance(step, Quarantine)
    assert str(step.target) == "quarantine/20251203/broken.png"


def test_files_of_a_live_job_are_left_to_it_and_those_of_a_dead_one_are_not() -> None:
    of_job = seen(f"jobs/{JOB}/1/anime_{JOB}_00001_.png")
    live = Known.of([], [KnownJob(JOB, None, is_live=True)])
    dead = Known.of([], [KnownJob(JOB, None, is_live=False)])
    left = triage(of_job, live, {})
    assert isinstance(left, Leave)
    assert left.reason is Reason.OF_LIVE_JOB
    assert triage(of_job, dead, {}) is None
    assert triage(seen(), live, {}) is None


def test_what_a_job_has_recorded_is_remembered_without_being_read_if_its_size_is_the_same() -> None:
    path = f"jobs/{JOB}/1/x.png"
    recorded = {(JOB, path): KnownAsset(5, "/library/x.png", path, JOB, size_bytes=9)}
    assert triage(seen(path), Known(), recorded) == Remember(seen(path), "/library/x.png", 5)
    assert triage(seen(path, size=10), Known(), recorded) is None


@given(HOSTILE, HOSTILE, st.text(max_size=40), st.integers(-(2**63), 2**63 - 1))
@settings(deadline=None)
@example(b"..", b"..", "../..", 2**63 - 1)
def test_every_target_is_a_legal_name_within_the_library(
    folder: bytes, name: bytes, project: str, mtime_ns: int
) -> None:
    assert_targets_are_legal(folder, name, project, mtime_ns)


def test_so_is_every_target_of_ten_thousand_hostile_names() -> None:
    dice = Random(7)
    for number in range(10_000):
        pieces = dice.choices(PIECES, k=dice.randint(1, 6))
        assert_targets_are_legal(dice.choice(PIECES), b"".join(pieces)[:255], "", number)


def assert_targets_are_legal(folder: bytes, name: bytes, project: str, mtime_ns: int) -> None:
    path = (folder + b"/" + name).decode(errors="surrogateescape")
    file = ImportCandidate(
        ScannedFile(b"/out/" + folder, name, 9, mtime_ns), path, Sidecar(project=project)
    )
    for step in (
        planner().step(file, content()),
        planner().step(file, Unusable("empty", "It is empty.")),
    ):
        assert isinstance(step, Organise | Quarantine)
        assert_legal(step.target)
    assert storable(path).encode()
    assert "\0" not in storable(path)


def assert_legal(target: PurePosixPath) -> None:
    assert not target.is_absolute()
    assert len(target.parts) in {3, 4}
    for part in target.parts:
        assert part not in {"", ".", ".."}
        assert len(part.encode()) <= 240
        assert part.isprintable()
        assert not part.startswith(".")
        assert "/" not in part


@pytest.mark.parametrize(
    "name", [b".hidden.png", b"a.png.tmp", b"a.png.part", b"a.crdownload", b"a.png~", b"a.txt", b""]
)
def test_names_of_temporary_files_and_of_no_media_are_passed_over(name: bytes) -> None:
    assert not is_candidate(name)


@pytest.mark.parametrize(
    "name", [b"a.PNG", b"a.mp4", b"a.flac", b"\xff.webp", b"a\nb.gif", b"a.glb"]
)
def test_names_of_media_are_candidates(name: bytes) -> None:
    assert is_candidate(name)
