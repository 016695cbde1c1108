"""Takes of a shot, what people say of them, and the state of the shot that follows."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from anime.core.catalogue import Description
from anime.core.composition.record import UNSEEN_FIELDS, Composition
from anime.core.ids import MAX_SEED, seed_of
from anime.core.paths import composed
from anime.core.shots import ShotCode, ShotFields, ShotState
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest, GivenName, Name, PromptText


class Verdict(StrEnum):
    """What the last review of a take has said."""

    APPROVED = "approved"
    REJECTED = "rejected"


class ReviewAction(StrEnum):
    """What a review does to a take."""

    APPROVE = "approve"
    REJECT = "reject"
    PICK = "pick"  # approves it, too; another take of the shot is no longer picked
    NOTE = "note"
    UNDO = "undo"  # of the last review of the take that is not undone


class TakeState(BaseModel):
    """What reviews have left a take as."""

    verdict: Verdict | None = None
    is_picked: bool = False
    reason: str = Field(default="", description="Why it is rejected.")
    note: str = ""

    def after(self, review: "NewReview") -> Self:
        """The take after a review that is no undo."""
        changes: dict[str, Any] = {}
        match review.action:
            case ReviewAction.APPROVE:
                changes = {"verdict": Verdict.APPROVED, "reason": ""}
            case ReviewAction.PICK:
                changes = {"verdict": Verdict.APPROVED, "is_picked": True, "reason": ""}
            case ReviewAction.REJECT:
                changes = {
                    "verdict": Verdict.REJECTED,
                    "is_picked": False,
                    "reason": review.reason or "",
                }
        if review.note is not None:
            changes["note"] = review.note
        return self.model_copy(update=changes)


class PicturePoint(BaseModel):
    """A place in a picture, as shares of its width and height from the upper left corner."""

    model_config = ConfigDict(extra="forbid")

    x: Annotated[float, Field(ge=0, le=1)]
    y: Annotated[float, Field(ge=0, le=1)]


class TakeNote(BaseModel):
    """What somebody noted of a take."""

    text: str
    point: PicturePoint | None = Field(description="Where in the picture; null: of all of it.")
    by: str
    at: AwareDatetime


class TakeRecord(TakeState):
    """A take of a shot: a file, with a number that no other take of the shot is ever given."""

    shot: str = Field(description="The shot's code.")
    number: int = Field(description="From 1, in the order in which the files were made.")
    file_id: int
    job_id: UUID
    path: str | None
    seed: int | None
    style_version: int | None = Field(description="Of the project's style that it was made with.")
    reviewed_by: str | None
    reviewed_at: AwareDatetime | None
    retake_job_id: UUID | None = Field(
        default=None, description="Job that renders another one, as this one was rejected."
    )
    media_type: str | None = Field(default=None, description="Of its file, such as image/png.")
    width: int | None = Field(default=None, description="In pixels.")
    height: int | None = Field(default=None, description="In pixels.")
    colours: str | None = Field(default=None, description="Of its thumbnail, as a tile has them.")
    notes: list[TakeNote] = Field(
        default_factory=list, description="All that was noted and not undone, oldest first."
    )


class NewReview(BaseModel):
    """What somebody says of a take."""

    model_config = ConfigDict(extra="forbid")

    project: GivenName = Field(description="Id, slug or name of the project.")
    shot: ShotCode = Field(description="The shot's code.")
    take: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(description="The take's number.")
    action: ReviewAction = Field(description="approve, reject, pick, note or undo.")
    reason: GivenName | None = Field(default=None, description="Why it is rejected.")
    note: Description | None = None
    point: PicturePoint | None = Field(
        default=None, description="Where in the picture the note is about."
    )
    by: Name = Field(default="api", description="Who says it.")
    retake: bool = Field(
        default=False, description="Whether a rejected take is rendered anew, with another seed."
    )
    prompt: PromptText | None = Field(
        default=None, description="The shot's prompt from now on, for the retake."
    )
    max_retakes: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="How many retakes a shot may have; as the settings say if unset."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.reason is not None and self.action is not ReviewAction.REJECT:
            raise ValueError("has a reason, which only a rejection has; say it in the note")
        if self.action is ReviewAction.NOTE and self.note is None:
            raise ValueError("has no note")
        if self.point is not None and not self.note:
            raise ValueError("has a point without a note")
        if self.retake and self.action is not ReviewAction.REJECT:
            raise ValueError("asks for a retake, which only a rejection does")
        if not self.retake and (self.prompt is not None or self.max_retakes is not None):
            raise ValueError("has a prompt or max_retakes without retake")
        return self


def check_reason(reason: str | None, known: Sequence[str]) -> str | None:
    """The reason as the studio writes it; any reason, if it has no list of them.

    Raises:
        InvalidRequest: the studio has other reasons.

    >>> check_reason("HANDS", ["hands", "off model"])
    'hands'
    """
    if reason is None or not known:
        return reason
    found = next((each for each in known if composed(each).casefold() == reason.casefold()), None)
    if found is None:
        raise InvalidRequest(
            f"reason: {reason[:80]!r} is none of the studio's.",
            f"Give one of these, and say more in a note: {', '.join(known)}.",
        )
    return found


def retake_job_id(shot_id: UUID, number: int) -> UUID:
    """The id of the job that renders another take for the one with that number."""
    return uuid5(shot_id, f"retake-of-{number}")


def retake_of(
    shot: ShotFields, project: str, job_id: UUID, *, prompt: str | None = None
) -> GenerationRequest:
    """What renders a take instead of a rejected one: the shot as it is, with a seed of its own.

    The seed is given, as a style may have the same one for all takes of a shot.

    Raises:
        InvalidRequest: neither the shot nor the review has a prompt.
    """
    request = shot.model_copy(update={"prompt": prompt or shot.prompt}).request(project)
    if request is None:
        raise InvalidRequest(
            f"Shot {shot.code} has no prompt.", "Give one with the review (--prompt)."
        )
    return request.model_copy(update={"seed": seed_of(job_id)})


def state_of(
    shot: ShotFields,
    picked: GenerationRequest | None,
    *,
    usable: int,
    under_way: int,
    digest: str | None = None,
    composition: Composition | None = None,
) -> ShotState:
    """How far a shot is.

    Args:
        shot: What it says now.
        picked: What its picked take was asked for with; None if none is picked.
        usable: Takes that are not rejected.
        under_way: Jobs for it that wait or render.
        digest: What its picked take was made from, if that was kept.
        composition: What a take of it would be made from now, if that is known.
    """
    if picked is not None:
        current = is_current(shot, picked, digest=digest, composition=composition)
        return ShotState.APPROVED if current else ShotState.STALE
    if under_way:
        return ShotState.RENDERING
    return ShotState.TO_REVIEW if usable else ShotState.MISSING


def is_current(
    shot: ShotFields,
    asked: GenerationRequest,
    *,
    digest: str | None = None,
    composition: Composition | None = None,
) -> bool:
    """Whether a take that was asked for like that was made from what the shot says now.

    A shot that has no prompt now cannot be rendered again: its takes stay as they are. Of an older
    take nobody knows which version of its workflow it was made with: the requests are compared.
    """
    if composition is not None and digest is not None:
        return composition.digest == digest
    now = composition.request if composition else shot.request(asked.project or "")
    if now is None:
        return True
    return now.model_dump(exclude=UNSEEN_FIELDS) == asked.model_dump(exclude=UNSEEN_FIELDS)


def requests_of(shot: ShotFields, project: str, takes: int) -> list[GenerationRequest]:
    """What renders so many takes of the shot; none without a prompt.

    The first one has the shot's seed, each further one the next; without one, any has its own.
    """
    request = shot.request(project)
    if request is None:
        return []
    if request.seed is None:
        return [request] * takes
    first = request.seed
    return [request.model_copy(update={"seed": (first + n) % (MAX_SEED + 1)}) for n in range(takes)]


def with_own_seed(
    request: GenerationRequest, composition: Composition | None, number: int
) -> GenerationRequest:
    """The request of a render that makes up for a rejected one: with the same seed, which a style
    may have for all takes of a shot, it would be the rejected picture again.

    The seed follows from digest and number, so that the same render is asked for again.
    """
    if request.seed is not None or composition is None or composition.request.seed is None:
        return request
    own = uuid5(NAMESPACE_OID, f"{composition.digest} {request.shot} {number}")
    return request.model_copy(update={"seed": seed_of(own)})
