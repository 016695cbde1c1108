"""What a file's rows are to say, decided from what is known of it. Nothing is read or written."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import PurePosixPath
from typing import cast
from uuid import UUID

from pydantic import JsonValue

from anime.assets.library_files import LibraryFile
from anime.core.assets import Asset, Provenance
from anime.core.graph_facts import facts_of
from anime.core.graphs import Graph
from anime.core.ids import MAX_SEED, prompt_id_of
from anime.core.ownership import AssetOwner, Claims, Known, KnownProject, Sidecar, owner_among
from anime.core.paths import (
    UNORGANIZED,
    FileKind,
    filename_prefix,
    original_name,
    owner_of,
    slug_of,
)
from anime.core.png_metadata import FileStamp
from anime.core.sweep_plan import moment_of
from anime.db.repositories import AssetRow, EndedJob, Recovered
from anime.schemas import DEFAULT_WORKFLOWS, GenerationType

# Of a stamp: columns of the job, and what is of no use in a row.
_BESIDE_RECIPE = {"job_id", "created_by", "trace_id"}
_NOON = time(12)
_NO_ROW_YET = UUID(int=0)


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """What a file is, and all that tells where it comes from."""

    file: LibraryFile
    asset: Asset
    origin: Provenance | None


def rows_of_file(look: InspectedFile, *, zone: tzinfo, thumbnail_path: str | None) -> Recovered:
    """The rows of a file.

    What it says itself counts before the origin beside it, and that before its name and folder.
    A job has a row only where prompt, seed and workflow are known: nothing is made up.
    """
    owner = _owner_of(look)
    made_at = _made_at(look, zone)
    kind = _kind_of(look)
    file = AssetRow(
        filename=look.file.path.name,
        file_type=kind.file_type,
        file_path=str(look.file.path),
        file_size=look.file.size_bytes,
        job_id=owner.job_id,
        source_path=_source_of(look, owner.job_id),
        sha256=look.asset.sha256,
        media_type=look.asset.media_type,
        width=look.asset.width,
        height=look.asset.height,
        frames=look.asset.frames,
        thumbnail_path=thumbnail_path,
        metadata=_metadata_of(look),
        created_at=made_at,
        organized_at=moment_of(look.file.mtime_ns, zone),
    )
    return Recovered(file, owner.project, _job_story(look, file, owner.project))


def _owner_of(look: InspectedFile) -> AssetOwner:
    """Whose the file is; of what says nothing itself, its folder names the project."""
    folder = look.file.place.parts[0]
    is_project = len(look.file.place.parts) > 1 and folder != UNORGANIZED
    named = [KnownProject(_NO_ROW_YET, slug_of(folder), folder)] if is_project else []
    sidecar = _sidecar_of(look.origin) if look.origin else None
    return owner_among(Claims(str(look.file.place), look.asset.stamp, sidecar), Known.of(named, []))


def _sidecar_of(origin: Provenance) -> Sidecar:
    return Sidecar.model_validate(
        {"job_id": origin.job_id, "project": origin.project or origin.project_slug}
    )


def _kind_of(look: InspectedFile) -> FileKind:
    """As its folder says, which knows of animations that are saved as pictures."""
    folders = set(look.file.place.parts[1:-1])
    said = next((kind for kind in FileKind if kind.value in folders), None)
    return said or look.asset.kind


def _made_at(look: InspectedFile, zone: tzinfo) -> datetime:
    """As the origin says; else when it was written, if that was on the day of its folder."""
    if look.origin is not None and look.origin.created_at is not None:
        return look.origin.created_at
    written = moment_of(look.file.mtime_ns, zone)
    day = _day_of(look.file.place)
    if day is None or (written is not None and written.date() == day):
        return written or datetime.fromtimestamp(0, UTC)
    return datetime.combine(day, _NOON, zone)


def _day_of(place: PurePosixPath) -> date | None:
    try:
        return datetime.strptime(place.parent.name, "%Y%m%d").date()  # noqa: DTZ007  a day only
    except ValueError:
        return None


def _source_of(look: InspectedFile, job_id: UUID | None) -> str | None:
    """Where it was in ComfyUI's output: with the job's id, it is what a file is known again by."""
    if look.origin is not None and look.origin.source_path and look.origin.job_id == job_id:
        return look.origin.source_path
    name = look.file.path.name
    if look.asset.stamp is not None and job_id is not None and owner_of(name) == job_id:
        prefix = PurePosixPath(filename_prefix(job_id, look.asset.stamp.attempt))
        return str(prefix.with_name(original_name(name)))
    return None


def _metadata_of(look: InspectedFile) -> dict[str, JsonValue]:
    """What a row of the same file said: its recipe, and beside it who had asked for what."""
    recipe: dict[str, JsonValue] = json.loads(look.asset.recipe)
    graph = cast("Graph | None", recipe.get("graph"))
    if look.origin is not None and look.origin.metadata:
        return {**recipe, **look.origin.metadata}
    if look.asset.stamp is None:
        return recipe
    facts = facts_of(graph) if graph else {}
    beside = look.asset.stamp.model_dump(mode="json", exclude=_BESIDE_RECIPE)
    prompt_id = prompt_id_of(look.asset.stamp.job_id, look.asset.stamp.attempt)
    return {**facts, **recipe, **beside, "prompt_id": str(prompt_id)}


def _job_story(look: InspectedFile, file: AssetRow, project: str | None) -> EndedJob | None:
    said: FileStamp | Provenance | None = look.asset.stamp or look.origin
    if said is None or file.job_id is None or file.created_at is None:
        return None
    if not said.prompt or not said.seed or int(said.seed) > MAX_SEED:
        return None
    is_video = file.file_type == FileKind.VIDEOS.file_type
    kind = GenerationType.VIDEO if is_video else GenerationType.IMAGE
    attempt = _attempt_of(said)
    workflow = said.workflow or DEFAULT_WORKFLOWS[kind]
    return EndedJob(
        id=file.job_id,
        type=kind,
        workflow=workflow,
        prompt=said.prompt,
        seed=int(said.seed),
        params=_params(said, kind, workflow, project),
        attempt=attempt,
        prompt_id=prompt_id_of(file.job_id, attempt),
        output_path=file.file_path,
        ended_at=file.created_at,
        character=said.character,
        characters=_several_characters(said) or (),
        shot=said.shot,
    )


def _params(
    said: FileStamp | Provenance, kind: GenerationType, workflow: str, project: str | None
) -> dict[str, JsonValue]:
    """What was asked for, as far as it is known."""
    asked: dict[str, JsonValue] = {
        "prompt": said.prompt,
        "type": kind.value,
        "negative_prompt": said.negative_prompt,
        "project": project,
        "character": said.character,
        "characters": cast("JsonValue", _several_characters(said)),
        "shot": said.shot,
        "workflow": workflow,
        "seed": int(said.seed or 0),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _several_characters(said: FileStamp | Provenance) -> list[str] | None:
    """Its characters, if it names more than one."""
    if isinstance(said, FileStamp):
        names = list(said.characters)
    else:
        told = said.metadata.get("characters")
        names = [each for each in told if isinstance(each, str)] if isinstance(told, list) else []
    return names if len(names) > 1 else None


def _attempt_of(said: FileStamp | Provenance) -> int:
    attempt = said.attempt if isinstance(said, FileStamp) else said.metadata.get("attempt")
    return attempt if isinstance(attempt, int) and attempt >= 1 else 1
