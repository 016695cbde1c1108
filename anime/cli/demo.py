"""`anime demo`: the whole system once, from an empty machine to a small production."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING
from uuid import uuid4

from anime.cli.terminal import print_note, print_result, print_table

if TYPE_CHECKING:
    from uuid import UUID

    from anime.assets.store import AssetStore
    from anime.core.shots import ShotRecord
    from anime.core.takes import TakeRecord
    from anime.jobs.service import JobService
    from anime.settings import Settings

_PROJECT = "Demo"
_BY = "demo"
_TAKES = 2  # of each shot
_PICKED, _REJECTED = ("sc1_c010", 1), ("sc2_c010", 1)
_CHARACTERS = {"Mira": "red coat, short black hair", "Ken": "blue jacket, glasses"}
_COLOURS = {"Mira": "firebrick", "Ken": "steelblue"}
_SHOTS = """\
code,episode,scene,characters,prompt,workflow,seed
sc1_c010,1,1,Mira,on a rooftop at dusk,,7
sc1_c020,1,1,"Mira, Ken",they look over the harbour,,21
sc2_c010,1,2,Ken,runs through a quiet forest at night,,3
sc2_c020,1,2,Ken,stops at a gate in the snow,,5
sc3_c010,1,3,"Mira, Ken",under cherry blossoms,,8
sc3_c020,1,3,,an empty street at dawn,txt2img,13
"""
# The models of the workflow `edit`, which shows reference pictures, for the rehearsal server.
_EDIT = "edit"
_EDIT_MODELS = (
    "diffusion_models/qwen_image_edit_2511_fp8mixed.safetensors",
    "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "vae/qwen_image_vae.safetensors",
)


def demo() -> None:
    """Start everything, render a small production, show where it is, and stop."""
    from anime.settings import load_settings

    asyncio.run(_run_demo(load_settings()))


async def _run_demo(settings: "Settings") -> None:
    from anime.jobs.service import connect_job_service

    async with (
        _stack_settings(settings) as (found, shows_references),
        connect_job_service(found) as service,
    ):
        await _prepare(service, _EDIT if shows_references else None)
        await _render(service)
        await _review(service)
        await _show(service)
    print_note("The stack has stopped; all data is kept. `make up` starts it again.")


@asynccontextmanager
async def _stack_settings(settings: "Settings") -> AsyncIterator[tuple["Settings", bool]]:
    """The settings of the running stack, or of one that is started for the demo.

    And whether its server is a rehearsal server that has the models for reference pictures.
    """
    from anime.cli.parts_display import PartsDisplay
    from anime.settings import load_settings
    from anime.settings.stack_record import read_record
    from anime.stack.ports import without_taken_ports
    from anime.stack.stack import running_stack

    if read_record(settings.home):
        print_note("Using the running stack.")
        yield settings, False
        return
    print_note(f"Starting everything, with its data in {settings.home} …")
    is_rehearsal = settings.comfyui_url is None
    if is_rehearsal:
        models = ",".join(filter(None, (settings.rehearsal_models, *_EDIT_MODELS)))
        settings = settings.model_copy(update={"rehearsal_models": models})
    with closing(PartsDisplay()) as display:
        async with running_stack(without_taken_ports(settings), report=display.show):
            display.close()
            yield load_settings(home=settings.home), is_rehearsal


async def _prepare(service: "JobService", workflow: str | None) -> None:
    """Add the project with its style, the characters with their faces, and the shots; once."""
    from anime.assets.store import AssetStore
    from anime.core.catalogue import NewCharacter, NewVersion
    from anime.core.styles import NewStyle, ProjectStyle
    from anime.db.repositories import CharacterRepository, ProjectRepository, StyleRepository
    from anime.jobs.shots import import_shots

    database = service.database
    await import_shots(database, _PROJECT, _SHOTS)
    async with database.session_scope() as session:
        project = await ProjectRepository(session).get(_PROJECT)
        styles, characters = StyleRepository(session), CharacterRepository(session)
        if await styles.newest(project.id) is not None:
            return
        style = ProjectStyle(workflow=workflow, prompt_before="anime, flat colours", steps=4)
        await styles.add(project.id, NewStyle(style=style, by=_BY))
        made = {}
        for name, prompt in _CHARACTERS.items():
            new = await characters.create(NewCharacter(name=name, project=_PROJECT), project.id)
            # Approved below, with the picture.
            version = NewVersion(prompt=prompt, is_canonical=False, by=_BY)
            await characters.add_version(new.id, version)
            made[name] = new.id
    library = AssetStore(service.settings.library, may_create=True)
    for name, character_id in made.items():
        await _add_face(service, library, name, character_id)


async def _add_face(
    service: "JobService", library: "AssetStore", name: str, character_id: "UUID"
) -> None:
    """Give the character a picture, and make its version the one that counts."""
    from base64 import b64encode

    from anime.assets.references import add_reference
    from anime.core.references import NewReference
    from anime.db.repositories import CharacterRepository

    content = b64encode(_face(_COLOURS[name]))
    new = NewReference.model_validate({"role": "face", "content": content, "by": _BY})
    await add_reference(service.database, library, character_id, new)
    async with service.database.session_scope() as session:
        await CharacterRepository(session).make_canonical(character_id, 1, by=_BY)


def _face(colour: str) -> bytes:
    """A PNG of a face, as far as a few shapes make one."""
    from io import BytesIO

    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (256, 256), "ivory")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((68, 40, 188, 176), fill="bisque", outline="black", width=3)
    for left in (98, 142):
        pen.ellipse((left, 90, left + 16, 116), fill="black")
    pen.arc((108, 116, 148, 150), 20, 160, fill="black", width=3)
    pen.polygon(((40, 256), (88, 180), (168, 180), (216, 256)), fill=colour)
    stream = BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


async def _shots(service: "JobService") -> list["ShotRecord"]:
    from anime.db.repositories import ShotQuery
    from anime.jobs.shots import all_shots

    composer = service.admission.composer
    return await all_shots(service.database, _PROJECT, ShotQuery(), composer=composer)


async def _render(service: "JobService") -> None:
    """Render the takes that are not there."""
    from anime.cli.batch import render_batch
    from anime.errors import BatchIncomplete
    from anime.jobs.shots import ShotRender, batch_of_shots

    lacking = [each for each in await _shots(service) if each.takes - each.rejected < _TAKES]
    if not lacking:
        print_note("All takes are there: nothing is rendered.")
        return
    print_note(f"\nRendering {_TAKES} takes of each of {len(lacking)} shots …")
    codes = [each.code for each in lacking]
    batch, _ = await batch_of_shots(
        service, ShotRender(project=_PROJECT, codes=codes, takes=_TAKES)
    )
    result = await render_batch(batch, service.settings, key=str(uuid4()), waits=True)
    if failed := next((job for job in result.jobs if job.error), None):
        raise BatchIncomplete(f"{failed.prompt!r} was not rendered: {failed.error}")


async def _review(service: "JobService") -> None:
    """Pick one take, and have another one rendered anew; what is reviewed stays as it is."""
    from anime.cli.generate import raise_for, watch
    from anime.core.takes import NewReview, ReviewAction
    from anime.db.repositories import JobRepository
    from anime.jobs.shots import review_and_retake
    from anime.settings.addresses import redis_address

    reviewed = {(each.shot, each.number) for each in await _takes(service) if each.verdict}
    for (shot, number), said in (
        (_PICKED, {"action": ReviewAction.PICK}),
        (_REJECTED, {"action": ReviewAction.REJECT, "reason": "hands", "retake": True}),
    ):
        if (shot, number) in reviewed:
            continue
        fields = {"project": _PROJECT, "shot": shot, "take": number, "by": _BY, **said}
        take = await review_and_retake(service, NewReview.model_validate(fields), waits=True)
        if take.retake_job_id is not None:
            print_note(f"Take {number} of {shot} is rejected, and rendered anew …")
            async with service.database.session_scope() as session:
                job = await JobRepository(session).get(take.retake_job_id)
            ended, _ = await watch(job, service.database, redis_address(service.settings))
            raise_for(ended)


async def _takes(service: "JobService") -> list["TakeRecord"]:
    from anime.db.repositories import ShotQuery
    from anime.jobs.shots import takes_of

    return await takes_of(service.database, _PROJECT, ShotQuery())


async def _show(service: "JobService") -> None:
    """Print how far the shots are, and where everything is."""
    from anime.assets.contact_sheet.make import SheetStyle
    from anime.core.sheet_pages import SHEETS_FOLDER
    from anime.jobs.shot_export import sheet_of_shots

    settings, shots = service.settings, await _shots(service)
    print_table(
        ("shot", "characters", "state", "takes", "prompt"), _rows(shots, await _takes(service))
    )
    [sheet] = await sheet_of_shots(
        service.database,
        shots,
        settings.library / SHEETS_FOLDER / "demo-sheet.png",
        library=settings.library,
        style=SheetStyle(font=settings.caption_font, replaces=True),
    )
    print_result(f"\nContact sheet  {sheet}")
    print_result(f"Prefect UI     {(settings.prefect_api_url or '').removesuffix('/api')}")
    print_result(f"Pictures       {settings.library}")


def _rows(shots: Sequence["ShotRecord"], takes: Sequence["TakeRecord"]) -> list[tuple[str, ...]]:
    """A row for each shot: its takes, those that were reviewed with what was said."""
    said = {
        shot.code: [
            f"{take.number} {'picked' if take.is_picked else take.verdict or ''}".strip()
            for take in takes
            if take.shot == shot.code
        ]
        for shot in shots
    }
    return [
        (
            shot.code,
            ", ".join(shot.characters),
            str(shot.state),
            ", ".join(said[shot.code]),
            shot.prompt or "",
        )
        for shot in shots
    ]
