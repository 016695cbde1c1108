"""What a sweep has brought in comes back when the database is lost."""

import io
import json
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

from PIL import Image

from anime.assets.rebuild import RebuildReport, rebuild
from anime.core.sweep_plan import Mode
from anime.db.migrate import upgrade
from tests.integration.import_folder import Stage, counts, picture
from tests.integration.old_client import execute

OWNERS = """
    SELECT file.file_path, file.job_id, project.slug, file.metadata ->> 'prompt',
        file.metadata ->> 'seed', file.file_type, file.sha256, file.created_at
    FROM anime_api.anime_files AS file
    LEFT JOIN anime_api.projects AS project ON project.id = file.project_id
    ORDER BY file.file_path
"""


async def rebuilt(stage: Stage) -> RebuildReport:
    """All rows made anew from the library, after the database is lost."""
    await stage.database.dispose()
    await execute(stage.database_url, "DROP SCHEMA anime_api CASCADE")
    await upgrade(stage.database_url)
    return await rebuild(stage.database, stage.library, zone=ZoneInfo("Asia/Tokyo"))


async def test_owners_seeds_and_prompts_of_swept_files_come_back(
    stage: Stage, database_url: str
) -> None:
    stamped, prefixed, foldered, beside = (uuid4() for _ in range(4))
    stage.put("a.png", picture(1, job_id=stamped, project="Neon City"))
    stage.put(f"anime_{prefixed}_00001_.png", picture(2))
    stage.put(f"jobs/{foldered}/final.png", picture(3))
    stage.put("old/take.png", picture(4))
    sidecar = {"job_id": str(beside), "project": "Rain City", "prompt": "old fox", "seed": 12}
    stage.put("old/job_metadata.json", json.dumps(sidecar).encode())
    stage.put("stray.png", picture(5))
    await stage.sweep(Mode.COPY)
    before = await execute(database_url, OWNERS)
    report = await rebuilt(stage)
    again = await stage.sweep(Mode.COPY)
    assert (report.files_added, report.files_unfit) == (5, 0)
    assert [row[:7] for row in await execute(database_url, OWNERS)] == [row[:7] for row in before]
    assert counts(again).get("organised", 0) == 0


def graph_of(saver: str, prompt: str) -> str:
    nodes = {
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt}},
        "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 4, "positive": ["6", 0]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0]}},
        "9": {"class_type": saver, "inputs": {"filename_prefix": "walk", "images": ["8", 0]}},
    }
    return json.dumps(nodes)


def animation(colour: int) -> bytes:
    """A GIF of two frames, which cannot say how it was made."""
    frames = [Image.new("RGB", (8, 8), (colour, shade, 0)) for shade in (0, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


async def test_what_the_first_frame_beside_a_film_tells_is_the_films(
    stage: Stage, database_url: str
) -> None:
    """As VideoHelperSuite saves them; a picture of the same name is nothing of the kind."""
    for number, saver in ((1, "VHS_VideoCombine"), (2, "VHS_VideoCombine"), (3, "SaveImage")):
        text = graph_of(saver, f"walk {number}")
        stage.put(f"walk_0000{number}.png", picture(number, prompt=text))
    for number, name in enumerate(("1.gif", "2-audio.gif", "3.gif", "4.gif"), 1):
        stage.put(f"walk_0000{name}", animation(number))
    stage.put("walk_00002.001.png", picture(20))
    stage.put("walk_00005.png", picture(5, prompt='{"1": {"class_type": ["VHS_VideoCombine"]}}'))
    stage.put("walk_00005.gif", animation(5))
    await stage.sweep(Mode.COPY)
    before = await execute(database_url, OWNERS)
    prompts = {Path(row[0]).name: row[3] for row in before if row[3] != "walk 3"}
    assert prompts == {
        "walk_00001.png": "walk 1",
        "walk_00001.gif": "walk 1",
        "walk_00002.png": "walk 2",
        "walk_00002-audio.gif": "walk 2",
        "walk_00002.001.png": "walk 2",
        "walk_00003.gif": None,
        "walk_00004.gif": None,
        "walk_00005.png": None,
        "walk_00005.gif": None,
    }
    await rebuilt(stage)
    assert [row[:7] for row in await execute(database_url, OWNERS)] == [row[:7] for row in before]
