"""Finding files: by project, character, job, kind, date, text, seed and model."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import text

from anime.db import migrate
from anime.db.address import parse_address
from anime.db.repositories import (
    AssetRow,
    FilePage,
    FileQuery,
    FileRepository,
    FileSearch,
    ProjectRepository,
    file_conditions,
)
from anime.db.session import Database
from anime.errors import InvalidRequest
from tests.integration.old_client import execute

NOON = datetime(2026, 4, 12, 12, tzinfo=UTC)
JOB = uuid4()


async def write(database: Database, name: str, **more: Any) -> None:  # fields of AssetRow or JSON
    """A file of that name, an hour older than the one before it."""
    columns = {key: more.pop(key) for key in list(more) if key in AssetRow.__dataclass_fields__}
    file = AssetRow(
        filename=name,
        file_type=columns.pop("file_type", "image"),
        file_path=f"/library/{name}",
        file_size=1,
        metadata=more,
        **columns,
    )
    async with database.session_scope() as session:
        await FileRepository(session).record([file])


async def search(
    database: Database, *, limit: int = 50, cursor: str | None = None, **asked: Any
) -> FilePage:
    async with database.session_scope() as session:
        return await FileSearch(session).page(FileQuery(**asked), limit=limit, cursor=cursor)


async def names(database: Database, **asked: Any) -> list[str]:  # fields of a query
    return [file.filename for file in (await search(database, **asked)).files]


@pytest.fixture(params=[1, 4000], ids=["looked up", "walked to"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to a page have to find the same."""
    monkeypatch.setattr(file_conditions, "WALKED_FILES", request.param)


@pytest.fixture
def way_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_conditions, "WALKED_FILES", 3)


async def a_few(database: Database) -> None:
    async with database.session_scope() as session:
        project = await ProjectRepository(session).get_or_create("Neon City")
    await write(
        database,
        "rain",
        prompt="Neon rain, cel-shaded girl on a ROOFTOP, 夜の街を歩く少女",
        project_id=project.id,
        character="Aiko",
        model="ink.safetensors",
        seed="7",
        job_id=JOB,
        created_at=NOON,
    )
    await write(
        database,
        "loop",
        prompt="ｎｅｏｎ waves; (masterpiece:1.2), 雪の森",
        file_type="video",
        character="Aiko",
        characters=["Aiko", "Ren", 7, None, {"no": "name"}],
        model="video/wave.safetensors",
        models=["video/wave.safetensors", "unet\\Flux1-dev.safetensors", 7, None],
        model_hash="E46C7E8F11",
        seed=str(2**64 - 1),
        created_at=NOON - timedelta(hours=1),
    )
    await write(
        database,
        "song",
        prompt="a song of it's own \\ neon, 人々が声",
        lyrics="les mots",
        texts={"notes": "raw words"},
        model="voices/it's.safetensors [0123456789]",
        file_type="audio",
        character="O'Brien \\ ミク",
        seed="7",
        created_at=NOON - timedelta(days=1),
    )


CASES: list[tuple[dict[str, Any], str]] = [  # fields of a query, and names of files
    ({}, "rain loop song"),
    ({"project": "Neon City"}, "rain"),
    ({"project": "neon-city"}, "rain"),
    ({"project": "unheard of"}, ""),
    ({"character": "aiko"}, "rain loop"),
    ({"character": "ren"}, "loop"),
    ({"character": "ren", "text": "neon"}, "loop"),
    ({"character": "ren", "text": "rooftop"}, ""),
    ({"character": "o'brien \\ ミク"}, "song"),
    ({"job_id": JOB}, "rain"),
    ({"job_id": JOB, "character": "aiko"}, "rain"),
    ({"kind": "video"}, "loop"),
    ({"seed": 7}, "rain song"),
    ({"seed": 2**64 - 1}, "loop"),
    ({"seed": 7, "kind": "audio"}, "song"),
    ({"model": "INK.safetensors"}, "rain"),
    ({"model": "ink"}, "rain"),
    ({"model": "SDXL\\ink.ckpt [6ce0161689]"}, "rain"),
    ({"model": "anime/ink"}, "rain"),
    ({"model": "in"}, ""),
    ({"model": "flux1-dev.gguf"}, "loop"),
    ({"model": "wave.safetensors"}, "loop"),
    ({"model": "E46C7E8F11"}, "loop"),
    ({"model": "e46c7e8f11" + "0" * 54}, "loop"),
    ({"model": "0123456789"}, "song"),
    ({"model": "it's"}, "song"),
    ({"text": "les mots"}, "song"),
    ({"text": "raw words"}, "song"),
    ({"text": "人々"}, "song"),
    ({"text": "々が"}, "song"),
    ({"text": "人が"}, ""),
    ({"character": "aiko", "model": "wave.safetensors"}, "loop"),
    ({"since": NOON}, "rain"),
    ({"until": NOON}, "loop song"),
    ({"since": NOON - timedelta(hours=2), "until": NOON}, "loop"),
    ({"state": "missing"}, ""),
    ({"state": "present", "kind": "image"}, "rain"),
    ({"text": "neon"}, "rain loop song"),
    ({"text": "NEON rooftop"}, "rain"),
    ({"text": "roof"}, ""),
    ({"text": "roof*"}, "rain"),
    ({"text": "cel-shaded"}, "rain"),
    ({"text": "shaded-cel"}, ""),
    ({"text": "masterpiece:1.2"}, "loop"),
    ({"text": "it's"}, "song"),
    ({"text": "夜の街"}, "rain"),
    ({"text": "街"}, "rain"),
    ({"text": "少女 夜"}, "rain"),
    ({"text": "街夜"}, ""),
    ({"text": "の"}, "rain loop"),
    ({"text": "kind:image"}, ""),
    ({"text": "!!! *"}, ""),
    ({"text": "*"}, "rain loop song"),
    ({"job_id": JOB, "seed": 7}, "rain"),
    ({"text": "夜の* neon", "character": "aiko", "until": NOON + timedelta(days=30)}, "rain"),
    ({"text": "neon", "kind": "image", "character": "aiko", "seed": 7}, "rain"),
    ({"text": "neon", "until": NOON}, "loop song"),
]


@pytest.mark.usefixtures("way")
async def test_a_search_finds_what_fits_and_nothing_else(database: Database) -> None:
    await a_few(database)
    found = [(asked, " ".join(await names(database, **asked))) for asked, _ in CASES]
    assert found == CASES


async def pages(database: Database, **asked: Any) -> Sequence[list[str]]:  # fields of a query
    found, cursor = [], None
    while True:
        page = await search(database, limit=2, cursor=cursor, **asked)
        found.append([file.filename for file in page.files])
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.usefixtures("way_of_few")
@pytest.mark.parametrize("asked", [{}, {"text": "fox"}, {"kind": "image", "text": "f*"}])
async def test_pages_follow_each_other_without_gap_or_repeat(
    database: Database, asked: dict[str, str]
) -> None:
    for number in range(9):  # every three of one moment: then the id decides
        await write(
            database, str(number), prompt="fox", created_at=NOON.replace(day=number // 3 + 1)
        )
    assert await pages(database, **asked) == [["8", "7"], ["6", "5"], ["4", "3"], ["2", "1"], ["0"]]


async def test_files_that_come_in_meanwhile_do_not_shift_the_next_page(database: Database) -> None:
    for number in range(4):
        await write(database, str(number), created_at=NOON + timedelta(hours=number))
    first = await search(database, limit=2)
    await write(database, "new", created_at=NOON + timedelta(days=1))
    second = await search(database, limit=2, cursor=first.next_cursor)
    assert [file.filename for file in (*first.files, *second.files)] == ["3", "2", "1", "0"]
    assert second.next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "!!", "AAAA", "a" * 99, "é", "//////////////8"])
async def test_a_broken_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="none of this list"):
        await search(database, cursor=cursor)


async def test_rows_of_other_programs_are_found_as_far_as_they_can_be(
    database: Database, database_url: str
) -> None:
    shapes = [
        "NULL",
        "'null'",
        "'[1, 2]'",
        "'3'",
        "'\"text\"'",
        "'{}'",
        '\'{"prompt": {"3": {"class_type": "KSampler"}}, "character": ["a"]}\'',
        '\'{"prompt": "an old fox", "seed": 3, "character": 5, "model": null}\'',
        "jsonb_build_object('prompt', repeat('fox ', 300000), 'character', repeat('x', 5000))",
    ]
    for shape in shapes:
        await execute(
            database_url,
            f"INSERT INTO anime_api.anime_files (filename, metadata) VALUES ('f', {shape})",
        )
    assert len(await names(database)) == len(shapes)
    assert len(await names(database, text="old fox")) == 1
    assert len(await names(database, seed=3)) == 1


async def test_what_is_changed_or_deleted_is_found_so(
    database: Database, database_url: str
) -> None:
    await write(database, "fox", prompt="a fox")
    await write(database, "owl", prompt="an owl")
    await execute(
        database_url,
        "UPDATE anime_api.anime_files SET state = 'missing', "
        "metadata = '{\"prompt\": \"a badger\"}' WHERE filename = 'fox'",
    )
    await execute(database_url, "DELETE FROM anime_api.anime_files WHERE filename = 'owl'")
    assert await names(database, state="missing", text="badger") == ["fox"]
    assert await names(database, text="fox") == await names(database, text="owl") == []


OLD_ROWS = (
    "INSERT INTO anime_api.anime_files (filename, metadata) VALUES "
    "('fox', '{\"prompt\": \"a fox\"}'), ('odd', '[7]'), ('owl', '{\"prompt\": \"an owl\"}')"
)
CHANGE_THE_FOX = (
    'UPDATE anime_api.anime_files SET metadata = \'{"prompt": "a badger"}\''
    " WHERE filename = 'fox'"
)
FORGET_THE_OWL = "DELETE FROM anime_api.anime_files WHERE filename = 'owl'"
IS_ANYBODY_WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


async def before_the_search(url: str) -> None:
    """A database of the revision before it, with files."""
    await asyncio.to_thread(migrate._run, parse_address(url), command.upgrade, "0003")
    await execute(url, OLD_ROWS)


async def test_rows_from_before_the_search_are_found_after_the_migration(
    empty_database_url: str,
) -> None:
    await before_the_search(empty_database_url)
    await migrate.upgrade(empty_database_url)
    async with Database(empty_database_url) as database:
        assert await names(database, text="fox") == ["fox"]
        assert await names(database) == ["owl", "odd", "fox"]


async def test_what_is_written_until_the_triggers_are_there_is_found_as_it_is(
    empty_database_url: str,
) -> None:
    await before_the_search(empty_database_url)
    async with Database(empty_database_url) as database:
        async with database.session_scope() as other:
            await other.execute(text(CHANGE_THE_FOX))
            await other.execute(text(FORGET_THE_OWL))
            migration = asyncio.create_task(migrate.upgrade(empty_database_url))
            while not await other.scalar(text(IS_ANYBODY_WAITING)):
                assert not migration.done()
        await migration
        assert await names(database, text="badger") == ["fox"]
        assert await names(database) == ["odd", "fox"]


async def test_a_migration_that_was_cut_short_begins_anew(empty_database_url: str) -> None:
    await before_the_search(empty_database_url)
    address = parse_address(empty_database_url)
    await asyncio.to_thread(migrate._run, address, command.upgrade, "0004")
    await execute(empty_database_url, "DELETE FROM anime_api.searchable_files")
    await execute(empty_database_url, "UPDATE anime_api.alembic_version SET version_num = '0003'")
    await migrate.upgrade(empty_database_url)
    async with Database(empty_database_url) as database:
        assert len(await names(database)) == 3


SPELLINGS = """
    SELECT array_agg(CAST(to_tsvector('pg_catalog.simple', anime_api.spelled(given)) AS text)),
        array_agg(CAST(anime_api.phrase_of(given, true) AS text)),
        array_agg(CAST(anime_api.terms_of_span(
            to_tsvector('pg_catalog.simple', given) || array_to_tsvector(ARRAY[repeat('x', 900)]),
            CAST(day AS timestamptz)
        ) AS text))
    FROM (VALUES
        ('1girl, solo;  (masterpiece:1.2), <lora:ink_v2:0.8>', '2026-04-12'),
        (E'A\\tB\\nC\\x7fD e-mail@example.org http://a.b/c?d=e', '1931-01-01'),
        ('ＦＵＬＬ　ｗｉｄｔｈ、夜の街。ｶﾀｶﾅ and Ünïcode—dashes…', '1970-01-14 23:59:59.999999+00'),
        ('', '2026-04-12'), (',.;', '2026-04-12'), ('ﬁne ligatures', '2026-04-12')
    ) AS given_at (given, day)
"""


async def test_the_quicker_functions_find_the_terms_that_the_index_has(
    empty_database_url: str,
) -> None:
    await migrate.upgrade(empty_database_url, to="0007")
    before = await execute(empty_database_url, SPELLINGS)
    await migrate.upgrade(empty_database_url, to="0008")
    assert await execute(empty_database_url, SPELLINGS) == before
    assert "2026" not in str(before[0][2])  # terms are of spans
