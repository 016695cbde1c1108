"""Shots and a timeline of OTIO, as editing programs exchange it.

A clip is a shot: its name is the code, its length the frames. What we have written besides lies in
the clip's metadata under `anime`, so that what comes back unchanged changes nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import opentimelineio as otio

from anime.core.shot_list import FIELDS, MAX_SHOTS, ListRow, cell_of, escaped
from anime.core.shots import ShotFields
from anime.errors import InvalidRequest

_KEY = "anime"
_TODO = "Export it as OTIO (.otio) again; docs/shots.md says what is read of it."
_DEFAULT_SECONDS = 1.0  # of a shot that has no length


def timeline_rows(text: str) -> Iterator[ListRow]:
    """The headings, and a row for each clip of the video tracks, in their order.

    Raises:
        InvalidRequest: it is no timeline, or has too many clips.
    """
    clips = _clips_of(text)
    if len(clips) > MAX_SHOTS:
        raise InvalidRequest(
            f"The timeline has {len(clips):,} clips; {MAX_SHOTS:,} are the most.", "Split it."
        )
    yield ListRow(0, FIELDS, unit="Clip")
    for number, clip in enumerate(clips, start=1):
        cells = _cells_of(clip)
        yield ListRow(number, [cells.get(name) for name in FIELDS], unit="Clip")


def write_timeline(
    name: str, shots: Sequence[ShotFields], picked: Mapping[str, Path], *, rate: float
) -> str:
    """A timeline with the shots one after another, in OTIO's JSON.

    Args:
        name: Of the timeline.
        shots: In their order.
        picked: The files of the picked takes by the shots' codes; a shot without one has a missing
            reference.
        rate: Frames of a second. A shot without a length lasts one second.
    """
    track = otio.schema.Track(name="shots", kind=otio.schema.TrackKind.Video)
    for shot in shots:
        length = _range_of(_frames_of(shot, rate), rate)
        path = picked.get(shot.code)
        media = (
            otio.schema.MissingReference(available_range=length)
            if path is None
            else otio.schema.ExternalReference(target_url=path.as_uri(), available_range=length)
        )
        said = shot.model_dump(mode="json", include=set(FIELDS))
        fields = {each: cell_of(value) for each, value in said.items()}
        clip = otio.schema.Clip(name=shot.code, media_reference=media, source_range=length)
        clip.metadata[_KEY] = {"fields": fields, "frames": _frames_of(shot, rate)}
        track.append(clip)
    timeline = otio.schema.Timeline(name=name)
    timeline.tracks.append(track)
    return str(otio.adapters.write_to_string(timeline, "otio_json"))


def _clips_of(text: str) -> list[Any]:  # OTIO has no types
    try:
        json.loads(text)  # what is nested too deeply would end the process in OTIO's own reader
        found = otio.adapters.read_from_string(text, "otio_json")
        tracks = found.video_tracks() if isinstance(found, otio.schema.Timeline) else [found]
        return [clip for track in tracks for clip in track.find_clips()]
    except (ValueError, RecursionError, AttributeError, otio.exceptions.OTIOError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise InvalidRequest(f"The shot list is no timeline of OTIO: {reason}.", _TODO) from None


def _cells_of(clip: Any) -> dict[str, str]:
    """What a clip says; of a clip of ours all fields, and its length if somebody has changed it."""
    frames = _length_of(clip)
    ours: Any = clip.metadata.get(_KEY)
    fields: Any = ours.get("fields") if hasattr(ours, "get") else None
    if fields is None or not hasattr(fields, "get"):
        return {"code": escaped(clip.name), **({"frames": str(frames)} if frames else {})}
    cells = {name: escaped(str(fields[name])) for name in FIELDS if name in fields}
    cells["code"] = escaped(clip.name)
    if frames and frames != ours.get("frames"):
        cells |= {"frames": str(frames), "seconds": ""}
    return cells


def _length_of(clip: Any) -> int:
    try:
        return int(clip.trimmed_range().duration.to_frames())
    except otio.exceptions.OTIOError:  # neither the clip nor its media says how long it is
        return 0


def _frames_of(shot: ShotFields, rate: float) -> int:
    return shot.frames or max(1, round((shot.seconds or _DEFAULT_SECONDS) * rate))


def _range_of(frames: int, rate: float) -> Any:
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(frames, rate)
    )
