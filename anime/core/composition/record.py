"""A composition, as it is shown and kept with its job."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest

# What makes no other picture: names, who waits for it, where and when it renders; and the seed, as
# each take of a shot has another one.
UNSEEN_FIELDS: Final = {
    *("project", "character", "characters", "shot", "seed"),
    *("priority", "webhook_url", "server", "required_vram_mb"),
}
REQUEST: Final = "request"


class Fragment(BaseModel):
    """A part of what is rendered, and where it comes from."""

    field: str = Field(description="Of the request that it is in, such as prompt.")
    text: str
    source: str = Field(description="Such as `style 3 of Neon City`, or `request`.")


class Composition(BaseModel):
    """What is rendered for a request, and why."""

    request: GenerationRequest = Field(description="What is rendered.")
    fragments: list[Fragment] = Field(description="What it was composed from, in order.")
    conflicts: list[str] = Field(description="What two of them disagree on, and which one counts.")
    warnings: list[str] = Field(description="What is left out or not checked, and why.")
    style_version: int | None = Field(description="The version of the project's style.")
    character_versions: dict[str, int] = Field(description="Versions by name of the character.")
    workflow_sha256: str = Field(description="Hash of the workflow: graph and bindings.")
    reference_paths: dict[str, str] = Field(
        description="Pictures of characters in the library, each with its character."
    )
    digest: str = Field(description="Hash of all that decides what the picture shows, but seeds.")
    file_prefix: str = Field(default="", description="What the names of its files begin with.")
    refused: str | None = Field(default=None, description="Why it cannot be rendered.")

    @property
    def is_plain(self) -> bool:
        """Whether the request stays as it was given."""
        is_renamed = any(each.field == "project" for each in self.fragments)
        return self.style_version is None and not self.character_versions and not is_renamed

    @property
    def is_kept(self) -> bool:
        """Whether it is kept with the job: a take of a shot may be stale one day."""
        return not self.is_plain or self.request.shot is not None


def refused(request: GenerationRequest, fault: InvalidRequest) -> Composition:
    """The composition of a request that cannot be rendered."""
    return Composition(
        request=request,
        fragments=[],
        conflicts=[],
        warnings=[],
        style_version=None,
        character_versions={},
        reference_paths={},
        workflow_sha256="",
        digest="",
        refused=str(fault),
    )


def recorded_request(
    record: Mapping[str, Any] | None,  # JSON of a composition
    request: GenerationRequest,
) -> GenerationRequest:
    """What is rendered for a request, by the composition that was recorded with its job.

    Raises:
        InvalidRequest: it was refused when it was composed, or cannot be read.
    """
    if record is None:
        return request
    if record.get("refused"):
        raise InvalidRequest(str(record["refused"]), "")
    try:
        return GenerationRequest.model_validate(record["request"])
    except (KeyError, ValidationError) as fault:
        raise InvalidRequest(
            f"What the request was composed to cannot be read: {fault}.", "Generate it anew."
        ) from fault


def digest_of(request: GenerationRequest, workflow_sha256: str) -> str:
    """The hash of what decides what a picture shows, seeds left aside."""
    seen = request.model_dump(mode="json", exclude=UNSEEN_FIELDS, exclude_defaults=True)
    inputs = seen.get("inputs") or {}
    told = sorted((name, value) for name, value in seen.items() if name != "inputs")
    return sha256(to_json([workflow_sha256, told, sorted(inputs.items())])).hexdigest()
