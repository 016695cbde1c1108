"""What is asked of the list of jobs."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from anime.core.job_status import FailureKind, JobStatus
from anime.schemas import GenerationType, GivenName


class JobQuery(BaseModel):
    """Which jobs are wanted. What is left out does not matter; the rest must all hold."""

    model_config = ConfigDict(extra="forbid")

    status: JobStatus | None = Field(default=None, description="State they are in.")
    project: GivenName | None = Field(default=None, description="Name or slug of the project.")
    character: GivenName | None = Field(
        default=None, description="Character, as the request named it, whether first or not."
    )
    type: GenerationType | None = Field(default=None, description="image or video.")
    error_kind: FailureKind | None = Field(default=None, description="Why they have failed.")
    ended_after: AwareDatetime | None = Field(default=None, description="They ended after that.")
