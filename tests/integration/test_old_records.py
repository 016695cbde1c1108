"""Projects and characters of older services, brought into the tables of today."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from anime.core.old_records import character_in
from anime.db.migrate import upgrade
from anime.db.repositories import CharacterRepository, ProjectRepository
from anime.db.session import Database
from anime.errors import InvalidRequest
from anime.jobs.old_records import import_old_records
from tests.integration.old_client import execute
from tests.integration.test_cli_commands import Commands

NEON = UUID("5f0c1f6e-2c51-4a8e-9f53-1f0f6d0f7a11")
OLD = f"""
    CREATE SCHEMA anime_api;
    CREATE TABLE anime_api.projects (id UUID, name TEXT, metadata JSONB, status TEXT);
    INSERT INTO anime_api.projects VALUES
        ('{NEON}', 'Neon City', '{{"fps": 24}}', 'active'), (NULL, NULL, NULL, NULL);
    CREATE TABLE anime_api.characters (
        id SERIAL, project_id UUID, name TEXT, visual_prompt TEXT, lora_path TEXT,
        lora_strength REAL, metadata JSONB);
    INSERT INTO anime_api.characters (project_id, name, visual_prompt, lora_path, lora_strength,
        metadata) VALUES
        ('{NEON}', 'Mei', 'red coat', 'mei.safetensors', 0.8, '{{"negative_prompt": "hat"}}'),
        (NULL, 'Ken', NULL, NULL, NULL, NULL),
        ('{UUID(int=7)}', 'Lost', NULL, NULL, NULL, NULL), (NULL, '', 'x', NULL, NULL, NULL);
"""


async def test_what_older_services_left_is_brought_in_once_and_stays_where_it_is(
    empty_database_url: str, tmp_path: Path
) -> None:
    await execute(empty_database_url, OLD)
    await upgrade(empty_database_url)
    (tmp_path / "aiko.json").write_text(
        json.dumps({"name": "Aiko", "project": "Neon City", "prompt": ["blue", "hair"], "seed": 7})
    )
    (tmp_path / "two.json").write_text('{"Rin": {"appearance": "tall"}, "Mei": {"bio": "twin"}}')
    (tmp_path / "broken.json").write_text('{"name": ')
    (tmp_path / "wrong.json").write_text('{"name": "Odd", "prompt": "x", "seed": -1}')
    async with Database(empty_database_url) as database:
        tried = await import_old_records(database, tmp_path, only_tries=True)
        done = await import_old_records(database, tmp_path)
        again = await import_old_records(database, tmp_path)
        async with database.session_scope() as session:
            neon = await ProjectRepository(session).get("neon-city")
            characters, _ = await CharacterRepository(session).page(limit=10)
    assert tried == done
    outcomes = [(each.kind, each.name, each.outcome) for each in done]
    assert outcomes == [
        ("project", "Neon City", "added"),
        ("project", "", "unreadable"),
        ("character", "Mei", "added"),
        ("character", "Ken", "added"),
        ("character", "Lost", "unreadable"),
        ("character", "", "unreadable"),
        ("character", "Aiko", "added"),
        ("character", "", "unreadable"),
        ("character", "Rin", "added"),
        ("character", "Mei", "added"),  # of no project
        ("character", "Odd", "unreadable"),
    ]
    assert {each.outcome for each in again} == {"there already", "unreadable"}
    assert neon.id == NEON, "files of the project say that id"
    assert neon.metadata["before_adoption"]["status"] == "active"
    mei = next(each for each in characters if each.name == "Mei" and each.project_id == NEON)
    assert mei.canonical is not None
    assert (mei.canonical.prompt, mei.canonical.negative_prompt) == ("red coat", "hat")
    [lora] = mei.canonical.loras
    assert (lora.name, round(lora.strength, 3)) == ("mei.safetensors", 0.8)
    aiko = next(each for each in characters if each.name == "Aiko")
    assert aiko.canonical is not None
    assert (aiko.project_id, aiko.canonical.seed) == (NEON, 7)
    kept = "SELECT count(*) FROM anime_api.characters_before_adoption"
    assert await execute(empty_database_url, kept) == [(4,)]


async def test_by_command_they_are_listed(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "mei.json").write_text('[{"name": "Mei", "prompt": "red coat"}, 7]')
    anime = Commands({"ANIME_DATABASE_URL": database_url})
    done = await anime.call("characters", "import", str(tmp_path))
    assert (done.code, "added" in done.out, "unreadable" in done.out) == (0, True, True)
    async with Database(database_url) as database:
        with pytest.raises(InvalidRequest, match="no folder"):
            await import_old_records(database, tmp_path / "mei.json")


def test_loras_are_read_as_they_were_written() -> None:
    record = {"name": "Mei", "prompt": "x", "loras": ["a:0.5", {"file": "b", "weight": 0.7}, "c"]}
    version = character_in(record).version  # type: ignore[arg-type]  # JSON
    assert version is not None
    assert [(each.name, each.strength) for each in version.loras] == [
        ("a", 0.5),
        ("b", 0.7),
        ("c", 1.0),
    ]
