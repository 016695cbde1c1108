"""Versions and reference pictures of characters, on a real database and library."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from anime.assets.references import add_reference, add_reference_file
from anime.assets.store import AssetStore
from anime.core.batches import BatchRequest
from anime.core.catalogue import NewCharacter, NewVersion
from anime.core.references import MAX_REFERENCES, NewReference, ReferenceRecord, ReferenceRole
from anime.core.takes import NewReview
from anime.db.repositories import CharacterRepository
from anime.db.session import Database
from anime.errors import AnimeError, InvalidRequest, StorageUnavailable, UnusableFile
from anime.jobs import admission
from anime.jobs.shots import import_shots, review_take
from anime.schemas import GenerationRequest
from anime.settings import Settings
from tests.integration.api_client import api, api_settings, prefect_peer, problem_in
from tests.integration.job_service import open_office
from tests.integration.old_client import execute
from tests.integration.prefect_peer import running_prefect_peer
from tests.integration.test_cli_commands import Commands
from tests.integration.test_takes import PROJECT, rendered
from tests.support.dead_mount import let_die
from tests.support.waiting import HUNG_SECONDS

__all__ = ["api", "api_settings", "prefect_peer"]


def picture(colour: str = "teal", kind: str = "PNG") -> bytes:
    stream = BytesIO()
    Image.new("RGB", (16, 16), colour).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def library(tmp_path: Path) -> AssetStore:
    (tmp_path / "library").mkdir(exist_ok=True)
    return AssetStore(tmp_path / "library")


@pytest_asyncio.fixture
async def mei(database: Database) -> AsyncIterator[UUID]:
    """A character with a canonical version."""
    async with database.session_scope() as session:
        characters = CharacterRepository(session)
        made = await characters.create(NewCharacter(name="Mei"), None)
        await characters.add_version(made.id, NewVersion(prompt="silver hair", by="ann"))
    yield made.id


async def added(
    database: Database, library: AssetStore, character: UUID, role: str = "face", **more: Any
) -> ReferenceRecord:
    given = more or {"content": b64encode(picture())}
    new = NewReference.model_validate({"role": role, "by": "bo", **given})
    return await add_reference(database, library, character, new)


async def approve(database: Database, character: UUID, number: int) -> None:
    async with database.session_scope() as session:
        await CharacterRepository(session).make_canonical(character, number, by="cy")


async def test_a_picture_for_an_approved_version_begins_a_draft_which_a_review_makes_canonical(
    database: Database, library: AssetStore, mei: UUID
) -> None:
    first = await added(database, library, mei)
    assert (first.version, first.position, first.source, first.created_by) == (2, 1, "upload", "bo")
    assert (library.root / first.path).read_bytes() == picture()
    assert first.path == f".inputs/{first.sha256}.png"
    assert await added(database, library, mei) == first
    body = await added(database, library, mei, "body", content=b64encode(picture("red", "JPEG")))
    assert (body.version, body.position, Path(body.path).suffix) == (2, 2, ".jpg")
    await approve(database, mei, 2)
    assert (await added(database, library, mei, "outfit")).version == 3
    async with database.session_scope() as session:
        characters = CharacterRepository(session)
        newest, approved, old = (await characters.versions(mei, limit=9))[0]
        canonical = (await characters.get(mei)).canonical
    assert (canonical, newest.is_canonical) == (approved, False)
    assert (approved.approved_by, old.approved_by, newest.approved_by) == ("cy", "ann", None)
    assert [each.role for each in newest.references] == ["face", "body", "outfit"]
    assert [each.role for each in approved.references] == ["face", "body"]
    assert (old.references, newest.prompt) == ([], "silver hair")
    await approve(database, mei, 1)
    async with database.session_scope() as session:
        assert (await CharacterRepository(session).get(mei)).canonical is not None
        assert await CharacterRepository(session).references(mei, 2) == approved.references


async def test_a_new_version_keeps_the_pictures_unless_it_says_otherwise(
    database: Database, library: AssetStore, mei: UUID
) -> None:
    await added(database, library, mei)
    async with database.session_scope() as session:
        characters = CharacterRepository(session)
        kept = await characters.add_version(mei, NewVersion(prompt="red hair"))
        bare = await characters.add_version(mei, NewVersion(prompt="bald", keeps_references=False))
    assert [each.role for each in kept.references] == ["face"]
    assert bare.references == []


async def test_a_version_has_so_many_pictures_and_no_more(
    database: Database, library: AssetStore, mei: UUID
) -> None:
    for number in range(MAX_REFERENCES):
        content = b64encode(picture(f"#{number:06x}"))
        await added(database, library, mei, "style", content=content)
    with pytest.raises(InvalidRequest, match=f"{MAX_REFERENCES} reference pictures already"):
        await added(database, library, mei)


async def test_a_reference_is_taken_from_a_file_or_an_approved_take(
    database: Database, library: AssetStore, mei: UUID, database_url: str, tmp_path: Path
) -> None:
    await import_shots(database, PROJECT, "code,prompt\nsc1,a roof\n")
    await rendered(database, database_url, "sc1")
    file = tmp_path / "take.png"
    file.write_bytes(picture())
    await execute(database_url, f"UPDATE anime_api.anime_files SET file_path = '{file}'")
    [(file_id,)] = await execute(database_url, "SELECT id FROM anime_api.anime_files")
    take = {"project": PROJECT, "shot": "SC1", "number": 1}
    with pytest.raises(InvalidRequest, match="Take 1 of SC1 is not approved"):
        await added(database, library, mei, take=take)
    said = {"project": PROJECT, "shot": "sc1", "take": 1, "action": "approve"}
    await review_take(database, NewReview.model_validate(said))
    assert (await added(database, library, mei, take=take)).source == "take 1 of sc1"
    assert (await added(database, library, mei, "style", file_id=file_id)).source == (
        f"file {file_id}"
    )
    file.write_bytes(picture("black"))
    await execute(database_url, "UPDATE anime_api.anime_files SET sha256 = 'of another'")
    with pytest.raises(InvalidRequest, match="not the picture any more"):
        await added(database, library, mei, "body", file_id=file_id)
    file.unlink()
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await added(database, library, mei, "body", file_id=file_id)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%PDF-1.7 and so on", "no picture"),
        (picture()[:60], "is damaged|ends|cut"),
        (b"", "is empty"),
        (picture(kind="TIFF"), "no picture"),
    ],
)
async def test_what_is_no_picture_is_refused_and_leaves_nothing(
    database: Database, library: AssetStore, mei: UUID, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "mei.png"
    file.write_bytes(content)
    with pytest.raises(AnimeError, match=said):
        await add_reference_file(database, library, mei, file, role=ReferenceRole.FACE, by="ann")
    assert [path for path in library.root.rglob("*") if path.is_file()] == []


async def test_a_picture_of_100_mb_is_refused_without_being_kept(
    database: Database, library: AssetStore, mei: UUID, tmp_path: Path
) -> None:
    file = tmp_path / "huge.png"
    with file.open("wb") as stream:
        stream.write(picture())
        stream.truncate(100 * 2**20)
    with pytest.raises(UnusableFile, match="more than 32 MB"):
        await add_reference_file(database, library, mei, file, role=ReferenceRole.FACE, by="ann")
    assert [path for path in library.root.rglob("*") if path.is_file()] == []


async def test_a_reference_that_is_gone_is_named_before_there_is_a_job(
    database: Database, library: AssetStore, mei: UUID, database_url: str, redis_url: str
) -> None:
    made = await added(database, library, mei)
    await approve(database, mei, 2)
    asked = GenerationRequest(prompt="@mei", workflow="edit")
    async with (
        running_prefect_peer() as prefect,
        open_office(database_url, redis_url, prefect, library_dir=library.root) as office,
    ):
        job = await office.service.submit(asked)
        lease = await office.begin(job.id, uuid4())
        assert lease.composition is not None
        assert lease.composition["request"]["inputs"] == {"references": [made.path]}
        (library.root / made.path).unlink()
        gone = "of character Mei, version 2 is no longer in"
        with pytest.raises(InvalidRequest, match=gone):
            await office.service.submit(asked)
        with pytest.raises(InvalidRequest, match=gone):
            await office.service.submit_batch(BatchRequest(name="b", requests=[asked]), key="b")


async def test_a_library_that_does_not_answer_holds_up_only_who_names_its_pictures(
    database: Database,
    library: AssetStore,
    mei: UUID,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await added(database, library, mei)
    await approve(database, mei, 2)
    monkeypatch.setattr(admission, "ANSWER_SECONDS", 0.5)
    async with (
        running_prefect_peer() as prefect,
        open_office(database_url, redis_url, prefect, library_dir=library.root) as office,
    ):
        asked = GenerationRequest(prompt="@mei", workflow="edit")
        is_back = let_die(library.root, monkeypatch, seconds=HUNG_SECONDS)
        several = [office.service.submit(asked) for _ in range(40)]  # more than a pool has threads
        for answer in await asyncio.gather(*several, return_exceptions=True):
            assert isinstance(answer, StorageUnavailable)
        await office.service.submit(GenerationRequest(prompt="rain"))
        is_back.set()
        assert (await office.service.submit(asked)).status == "queued"


async def test_by_http_a_picture_is_added_and_listed_and_a_version_approved(
    mei: UUID, api: httpx.AsyncClient
) -> None:
    url = f"/api/anime/characters/{mei}"
    new = {"role": "face", "content": b64encode(picture()).decode(), "by": "ann"}
    made = await api.post(f"{url}/references", json=new)
    assert (made.status_code, made.json()["version"]) == (201, 2)
    assert (await api.get(f"{url}/references")).json() == {"items": [made.json()]}
    assert (await api.get(f"{url}/references", params={"version": 1})).json() == {"items": []}
    shown = await api.get(f"{url}/references/{made.json()['sha256']}/content")
    assert (shown.content, shown.headers["content-type"]) == (picture(), "image/png")
    assert (await api.get(f"{url}/references/{'0' * 64}/content")).status_code == 404
    assert (await api.get(f"{url}/references", params={"version": 9})).status_code == 404
    approved = await api.put(f"{url}/versions/2/canonical", params={"by": "bo"})
    assert (approved.json()["approved_by"], approved.json()["is_canonical"]) == ("bo", True)
    both = await api.post(f"{url}/references", json={**new, "file_id": 3})
    assert "give content, file_id or take" in problem_in(both, 422)["detail"]
    none = await api.post(f"{url}/references", json={**new, "content": "bm9uZQ=="})
    assert "no picture" in problem_in(none, 422)["detail"]


def noise(side: int) -> bytes:
    """A picture that cannot be compressed: about three bytes for each pixel."""
    stream = BytesIO()
    data = Random(1).randbytes(3 * side * side)
    Image.frombytes("RGB", (side, side), data).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


async def test_by_http_a_picture_of_several_mb_is_uploaded_as_it_is(
    mei: UUID, api: httpx.AsyncClient
) -> None:
    url, content = f"/api/anime/characters/{mei}/references", noise(1200)
    assert len(content) > 4 * 2**20
    asked = {"role": "face", "by": "ann"}
    png = {"Content-Type": "image/png"}
    made = await api.post(f"{url}/upload", params=asked, content=content, headers=png)
    assert made.status_code == 201, made.text
    assert (made.json()["source"], made.json()["created_by"]) == ("upload", "ann")
    shown = await api.get(f"{url}/{made.json()['sha256']}/content")
    assert shown.content == content
    again = await api.post(f"{url}/upload", params=asked, content=content, headers=png)
    assert again.json() == made.json()


@pytest.mark.parametrize(
    ("pieces", "announced", "status", "said"),
    [
        (100, True, 413, "more than 33554432 bytes"),
        (100, False, 413, "more than 33554432 bytes"),
        (2, True, 422, "no picture"),
        (0, True, 422, "is empty"),
    ],
)
async def test_an_upload_that_is_too_large_or_no_picture_is_refused_and_leaves_nothing(
    mei: UUID,
    api: httpx.AsyncClient,
    api_settings: Settings,
    pieces: int,
    announced: bool,
    status: int,
    said: str,
) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b"x" * 2**20

    headers = {"Content-Type": "image/png"}
    if announced:
        headers["Content-Length"] = str(pieces * 2**20)
    answer = await api.post(
        f"/api/anime/characters/{mei}/references/upload",
        params={"role": "face"},
        content=body(),
        headers=headers,
    )
    assert said in problem_in(answer, status)["detail"]
    library = api_settings.library
    assert [path for path in library.rglob("*") if path.is_file()] == []


async def test_an_upload_for_nobody_is_answered_although_it_is_not_read(
    api: httpx.AsyncClient,
) -> None:
    url = f"/api/anime/characters/{uuid4()}/references/upload"
    answer = await api.post(url, params={"role": "face"}, content=noise(700))
    assert "There is no character" in problem_in(answer, 404)["detail"]
    assert answer.headers["connection"] == "close"


async def test_by_command_a_character_is_made_versioned_and_shown(
    database_url: str, tmp_path: Path
) -> None:
    commands = Commands(
        {"ANIME_DATABASE_URL": database_url, "ANIME_LIBRARY_DIR": str(tmp_path / "library")}
    )
    (tmp_path / "library").mkdir()
    (tmp_path / "mei.png").write_bytes(picture())

    async def said(*words: str) -> Any:
        done = await commands.call("characters", *words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    await said("create", "Mei", "--description", "A courier.")
    lora = "mei.safetensors:0.8@sdxl"
    first = await said("version", "Mei", "--prompt", "silver hair", "--lora", lora, "--draft")
    assert (first["is_canonical"], first["loras"][0]["architecture"]) == (False, "sdxl")
    made = await said("reference", "Mei", str(tmp_path / "mei.png"), "--role", "face")
    assert (made["version"], made["source"]) == (1, "mei.png")
    assert (await said("approve", "mei", "1"))["is_canonical"] is True
    assert [each["number"] for each in await said("show", "Mei")] == [1]
    assert (await said("list"))[0]["canonical"]["number"] == 1
    assert "canonical" in (await commands.call("characters", "show", "Mei")).out
    assert "silver hair" in (await commands.call("characters", "list")).out
    for words in (
        ("reference", "Mei", "--role", "face"),
        ("reference", "Mei", "--role", "face", "--take", "sc1"),
        ("show", "Zed"),
    ):
        refused = await commands.call("characters", *words)
        assert (refused.code, refused.err != "") == (1, True)
