import re
from datetime import date
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anime.core.paths import (
    UNORGANIZED,
    FileKind,
    filename_prefix,
    kind_of,
    library_path,
    media_type_of,
    next_name,
    owner_of,
    safe_filename,
    slug_of,
    slugs_of,
    thumbnail_path,
)

JOB = UUID("1b4e28ba-2fa1-4d2e-883f-0016d3cca427")
DAY = date(2025, 12, 2)
HOSTILE = [
    "",
    ".",
    "..",
    "../..",
    "/etc/passwd",
    "a/b",
    "\x00",
    "CON",
    "～",
    "-",
    "\ud800",
    "a\u202eb",
]


@given(st.text(max_size=200))
@example("..")
@example("\ud800")
@example("unorganized")
def test_a_slug_is_always_one_plain_folder_name(name: str) -> None:
    slug = slug_of(name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= 60
    assert slug != UNORGANIZED


@given(st.text(max_size=200))
def test_a_slug_of_a_slug_is_that_slug(name: str) -> None:
    assert slug_of(slug_of(name)) == slug_of(name)


def test_a_slug_keeps_letters_without_their_accents() -> None:
    assert slug_of("  Neon City — Épisode 2! ") == "neon-city-episode-2"


def test_projects_named_in_japanese_get_slugs_of_their_own() -> None:
    slugs = {slug_of(name) for name in ("東京", "京都", "東京 2077", "京都 2077", "2077")}
    assert len(slugs) == 5


def test_long_names_with_the_same_beginning_get_different_slugs() -> None:
    assert slug_of("a" * 100) != slug_of("a" * 101)


def test_the_folder_of_no_project_is_reserved() -> None:
    assert slug_of("Unorganized") != UNORGANIZED
    assert slug_of("Unorganized").startswith("unorganized-")


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("a.png", FileKind.IMAGES),
        ("a.webp", FileKind.IMAGES),
        ("a.GIF", FileKind.VIDEOS),
        ("a.mp4", FileKind.VIDEOS),
        ("a.flac", FileKind.AUDIO),
        ("a.mp3", FileKind.AUDIO),
        ("a", FileKind.IMAGES),
    ],
)
def test_the_kind_follows_from_the_suffix(filename: str, kind: FileKind) -> None:
    assert kind_of(filename) is kind


def test_a_file_goes_to_project_kind_and_day() -> None:
    path = library_path("neon-city", FileKind.VIDEOS, DAY, "a.webp")
    assert path == PurePosixPath("neon-city/videos/20251202/a.webp")


def test_a_file_of_no_project_is_unorganized() -> None:
    path = library_path(None, FileKind.IMAGES, DAY, "anime_x_00001_.png")
    assert path == PurePosixPath("unorganized/images/20251202/anime_x_00001_.png")


@given(st.text(max_size=300))
def test_no_filename_leaves_its_folder(name: str) -> None:
    path = library_path("p", FileKind.IMAGES, DAY, name)
    assert path.parts[:3] == ("p", "images", "20251202")
    assert len(path.parts) == 4
    assert path.name not in {"", ".", ".."}


@given(st.text(max_size=300))
@example("x" * 300 + ".png")
@example("x." + "y" * 300)
@example("猫" * 200 + ".png")
def test_a_safe_filename_fits_any_file_system_and_is_safe_already(name: str) -> None:
    safe = safe_filename(name)
    assert 0 < len(safe.encode()) <= 200
    assert safe.isprintable()
    assert not safe.startswith(".")
    assert safe_filename(safe) == safe


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_plain_ones(name: str) -> None:
    assert not set(safe_filename(name)) & set('/\\:*?"<>|\x00')


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("con.png", "con_.png"),
        ("AUX.tar.gz", "AUX_.tar.gz"),
        ("nul", "nul_"),
        ("Com1 .png", "Com1_.png"),
        ("lpt².png", "lpt²_.png"),
        ("conin$.png", "conin$_.png"),
        ("a.", "a"),
        ("a. .", "a"),
        ("a.png ", "a.png"),
        ("console.png", "console.png"),
        ("com10.png", "com10.png"),
    ],
)
def test_a_name_that_windows_cannot_open_is_changed(name: str, changed: str) -> None:
    assert safe_filename(name) == changed


def test_a_folder_of_a_project_can_be_opened_under_windows_and_found_by_its_former_slug() -> None:
    assert slug_of("Con").startswith("con-")
    assert slugs_of("CON") == (slug_of("CON"), "con")
    assert slugs_of("Neon City") == ("neon-city",)


def test_a_cut_filename_keeps_its_suffix() -> None:
    assert safe_filename("x" * 300 + ".png").endswith("x.png")


def test_the_names_comfyui_gives_are_kept() -> None:
    name = f"anime_{JOB}_00001_.png"
    assert safe_filename(name) == name


def test_a_taken_name_is_followed_by_numbered_ones() -> None:
    assert [next_name("a.b.png", 2), next_name("noext", 3)] == ["a.b-2.png", "noext-3"]


def test_each_attempt_has_a_folder_of_its_own() -> None:
    assert filename_prefix(JOB, 2) == f"jobs/{JOB}/2/anime_{JOB}"


@pytest.mark.parametrize(
    "path",
    [
        f"{filename_prefix(JOB, 1)}_00001_.png",
        f"anime_{JOB}_00001_.png",
        f"anime_{JOB}_00001_-2.png",
        f"sc1_c010_anime_{JOB}_00001_.png",
        f"a/anime_00000000-0000-0000-0000-000000000001_anime_{JOB}_00001_.png",
        f"/library/unorganized/images/20251202/anime_{JOB}_00001_.png",
        f"output/jobs/{JOB}/3/renamed.png",
        f"ANIME_{str(JOB).upper()}_00001_.png",
    ],
)
def test_a_file_knows_its_job(path: str) -> None:
    assert owner_of(path) == JOB


@pytest.mark.parametrize(
    "path",
    [
        "ComfyUI_00001_.png",
        "",
        "anime_not-a-uuid_00001_.png",
        f"xanime_{JOB}_00001_.png",
        f"anime_{JOB}0_00001_.png",
        f"anime_{JOB}_folder/other.png",
        f"myjobs/{JOB}/a.png",
    ],
)
def test_a_foreign_file_has_no_job(path: str) -> None:
    assert owner_of(path) is None


def test_the_name_of_a_file_counts_for_more_than_its_folder() -> None:
    other = UUID(int=7)
    assert owner_of(f"jobs/{other}/1/anime_{JOB}_00001_.png") == JOB


@given(st.uuids(), st.integers(1, 99))
def test_every_prefix_names_its_owner(job_id: UUID, attempt: int) -> None:
    assert owner_of(f"{filename_prefix(job_id, attempt)}_00001_.png") == job_id


def test_thumbnails_are_spread_over_folders_by_content() -> None:
    assert thumbnail_path("ab" * 32) == PurePosixPath(f".thumbnails/ab/{'ab' * 32}.webp")


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [
        ("a.png", "image/png"),
        ("a.JPEG", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.mp4", "video/mp4"),
        ("a.latent", "application/octet-stream"),
    ],
)
def test_the_media_type_follows_from_the_suffix(filename: str, media_type: str) -> None:
    assert media_type_of(filename) == media_type
