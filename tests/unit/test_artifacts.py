"""What Prefect's page of a run shows of the files that it made."""

from datetime import UTC, datetime

import pytest

from anime.schemas import FileRecord
from tasks import artifacts

BROWSER = "http://studio:8330"


def a_file(number: int, file_type: str, suffix: str) -> FileRecord:
    return FileRecord(
        id=number,
        filename=f"{number}{suffix}",
        file_type=file_type,
        file_path=f"/library/{number}{suffix}",
        file_size=1,
        created_at=datetime.now(UTC),
    )


async def test_what_no_browser_shows_has_its_thumbnail_and_a_sound_no_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []

    async def note(image_url: str, **_: object) -> None:
        shown.append(image_url)

    monkeypatch.setattr(artifacts, "acreate_image_artifact", note)
    files = [
        *(a_file(1, "image", ".png"), a_file(2, "image", ".exr"), a_file(3, "video", ".webp")),
        *(a_file(4, "video", ".mp4"), a_file(5, "audio", ".flac")),
    ]
    await artifacts.show_pictures(files, BROWSER)
    pictures = ("1/content", "2/thumbnail", "3/content", "4/thumbnail")
    assert shown == [f"{BROWSER}/api/anime/files/{picture}" for picture in pictures]
