"""Where a file comes from, in the sidecars of the library."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from anime.assets.provenance import ORIGINS_FOLDER, read_provenance, write_provenance
from anime.core.assets import Provenance
from anime.errors import StorageError

SHA = "ab" * 32


def origin_of(job_id: UUID | None = None, **more: object) -> Provenance:
    known: dict[str, object] = {
        "job_id": job_id or uuid4(),
        "project": "Neon City",
        "project_slug": "neon-city",
        "prompt": "雪の森",
        "seed": str(2**64 - 1),
        "created_at": datetime(2026, 4, 12, tzinfo=UTC),
        "metadata": {"seed": str(2**64 - 1), "graph": {"3": {"class_type": "KSampler"}}},
    }
    return Provenance.model_validate(known | more)


def test_an_origin_comes_back_as_it_was_written(tmp_path: Path) -> None:
    origin = origin_of()
    path = write_provenance(tmp_path, SHA, origin)
    assert path == tmp_path / ORIGINS_FOLDER / "ab" / f"{SHA}.json"
    assert read_provenance(tmp_path, SHA) == origin


def test_content_that_nobody_wrote_of_has_no_origin(tmp_path: Path) -> None:
    assert read_provenance(tmp_path, SHA) is None


def test_the_same_owner_again_replaces_what_it_said(tmp_path: Path) -> None:
    first = origin_of()
    write_provenance(tmp_path, SHA, first)
    second = first.model_copy(update={"prompt": "rain"})
    write_provenance(tmp_path, SHA, second)
    assert read_provenance(tmp_path, SHA) == second
    assert len(list((tmp_path / ORIGINS_FOLDER / "ab").iterdir())) == 1


def test_every_job_that_made_the_same_bytes_keeps_its_origin(tmp_path: Path) -> None:
    origins = [origin_of() for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda origin: write_provenance(tmp_path, SHA, origin), origins))
    found = [read_provenance(tmp_path, SHA, owner=origin.job_id) for origin in origins]
    assert found == origins
    assert read_provenance(tmp_path, SHA, owner=uuid4()) in origins


@pytest.mark.parametrize("text", ["", "{", "[]", '{"job_id": 3}', '{"seed": "-1"}', "\udcff"])
def test_a_damaged_origin_is_none_and_is_written_anew(tmp_path: Path, text: str) -> None:
    path = write_provenance(tmp_path, SHA, origin_of())
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_provenance(tmp_path, SHA) is None
    mended = origin_of()
    write_provenance(tmp_path, SHA, mended)
    assert read_provenance(tmp_path, SHA) == mended


def test_a_library_that_is_not_there_is_no_new_one(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: No such file"):
        write_provenance(tmp_path / "lost", SHA, origin_of())
    assert not (tmp_path / "lost").exists()


def test_what_stands_in_the_way_is_said_and_left(tmp_path: Path) -> None:
    (tmp_path / ORIGINS_FOLDER).write_text("mine")
    with pytest.raises(StorageError, match="ANIME_LIBRARY_DIR"):
        write_provenance(tmp_path, SHA, origin_of())
    assert (tmp_path / ORIGINS_FOLDER).read_text() == "mine"
