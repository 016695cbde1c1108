"""When backups and drills are overdue, what they are called, and what is kept of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.assets.backup.kept_settings import settings_text
from anime.assets.backup.listing import ListedFile, hashes_only_in, with_known_hashes
from anime.core.backups import (
    BackupTimes,
    backup_name,
    differing_tables,
    is_backup_name,
    is_scratch_name,
    moment_of,
    overdue,
    scratch_name,
    sums_of,
    sums_text,
    to_remove,
)
from anime.settings import load_settings

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NAMES = st.lists(st.binary(min_size=1, max_size=3).filter(lambda b: b"\0" not in b), unique=True)


def named(*days_ago: float) -> list[str]:
    return [backup_name(NOW - timedelta(days=days)) for days in days_ago]


def ago(days: float | None) -> datetime | None:
    return None if days is None else NOW - timedelta(days=days)


def listed(path: bytes, sha256: str = "", size: int = 1) -> ListedFile:
    return ListedFile(path, size, 1, sha256)


@pytest.mark.parametrize(
    ("last", "first", "green", "said"),
    [
        (None, None, None, "No backup"),
        (1, 2, None, None),  # a young studio
        (1, 9, None, "missing"),
        (1, 9, 8.1, "8 days old"),
        (1, 9, 7.9, None),
        (2.5, 9, 1, "last backup is 2 days old"),
    ],
)
def test_backups_and_drills_that_are_overdue_are_said(
    last: float | None, first: float | None, green: float | None, said: str | None
) -> None:
    found = overdue(NOW, BackupTimes(ago(last), ago(first), ago(green)))
    assert (found is None) if said is None else (found is not None and said in found[0])


def test_names_of_backups_sort_as_their_times_and_tell_them() -> None:
    assert sorted(named(1, 3, 2)) == named(3, 2, 1)
    assert moment_of(named(1)[0]) == NOW - timedelta(days=1)
    assert [is_backup_name(each) for each in (*named(1), "objects", ".unfinished")] == [
        *(True, False, False)
    ]


@given(live=st.text(min_size=1, max_size=80), other=st.text(max_size=80))
def test_a_scratch_database_is_never_the_live_one_nor_anybody_elses(live: str, other: str) -> None:
    made = scratch_name(live, "0a1b2c3d")
    assert made != live
    assert len(made.encode()) <= 63
    assert is_scratch_name(made, live)
    assert not is_scratch_name(live, live)
    assert not is_scratch_name(other, live)
    assert not is_scratch_name(made, f"{live}2")
    for like_one in ("0a1b2c3d", "0a1b2c3d4e5f6a7b", made[-16:-1], made[-15:] + made[-16]):
        assert not is_scratch_name(f"{made[:-16]}{like_one}", live) or like_one == made[-16:]


def test_a_scratch_database_of_a_studio_whose_name_begins_alike_is_not_ours() -> None:
    long = "studio_" * 9
    assert is_scratch_name(scratch_name(long + "one", "0a1b2c3d"), long + "one")
    assert not is_scratch_name(scratch_name(long + "one", "0a1b2c3d"), long + "two")


def test_the_oldest_backups_go_and_never_the_last() -> None:
    assert to_remove(named(3, 1, 2), 2) == named(3)
    assert to_remove(named(1), 1) == to_remove([], 1) == []


def test_tables_that_lost_or_gained_rows_are_named() -> None:
    found = differing_tables({"a": 2, "b": 1, "same": 5}, {"a": 1, "c": 1, "same": 5})
    assert len(found) == 3
    assert "Table a has 1 rows, the backup 2." in found


@pytest.mark.parametrize("text", ["nonsense", "0" * 64, "0" * 64 + " name", "g" * 64 + "  name"])
def test_checksums_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no checksum"):
        sums_of(text)


def test_checksums_come_back() -> None:
    hashes = {"database/toc.dat": "ab" * 32, "a file": "cd" * 32}
    assert sums_of(sums_text(hashes)) == hashes


class TestListings:
    def test_only_a_file_of_the_same_size_and_time_has_a_known_hash(self) -> None:
        walked = [listed(b"l/a"), listed(b"l/b", size=2), listed(b"l/c")]
        before = [listed(b"l/a", "1"), listed(b"l/b", "2"), listed(b"l/x", "3")]
        assert [each.sha256 for each in with_known_hashes(walked, before)] == ["1", "", ""]

    @given(here=NAMES, there=NAMES)
    def test_what_only_one_listing_has_is_found(
        self, here: list[bytes], there: list[bytes]
    ) -> None:
        one, other = (
            sorted((listed(name, name.hex()) for name in names), key=lambda each: each.key)
            for names in (here, there)
        )
        expected = {name.hex() for name in set(here) - set(there)}
        assert hashes_only_in(one, other) == expected

    def test_files_of_a_folder_come_before_names_that_only_begin_like_it(self) -> None:
        paths = [b"l/a/z", b"l/a.png", b"l/a b"]
        ordered = sorted((listed(path) for path in paths), key=lambda each: each.key)
        assert [each.path for each in ordered] == [b"l/a/z", b"l/a b", b"l/a.png"]


def test_settings_are_kept_without_logins_and_secrets() -> None:
    settings = load_settings(
        comfyui_url="http://me:c4nary@gpu:8188,http://two:8188",
        webhook_secret="c4nary",
        prefect_api_auth_string="me:c4nary",
        keep_backups=3,
    )
    kept = settings_text(settings)
    assert "c4nary" not in kept
    for expected in ("http://gpu:8188,http://two:8188", "ANIME_KEEP_BACKUPS", "PREFECT_API_AUTH"):
        assert expected in kept
