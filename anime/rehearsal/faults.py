"""The errors that the rehearsal server can simulate, and how they are named at a command line.

A new error is a field here, and a line where it shows: `fault_injector` has what counts or lasts,
`fault_middleware` what shows in answers.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anime.errors import ConfigurationError

FOR_EVER = float("inf")


class SimulatedNodeError(Exception):
    """An error of a node, with the exception type that ComfyUI would report."""

    def __init__(self, reported_as: str, message: str) -> None:
        super().__init__(message)
        self.reported_as = reported_as


class Faults(BaseModel):
    """None is simulated unless it is set. Steps and prompts count from the server's start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crash_at_step: int | None = Field(
        default=None, ge=1, description="Sampler step at which the process is killed."
    )
    crash_on: str = Field(
        default="", description="Words that kill the process when a graph that has them samples."
    )
    freeze_at_step: int | None = Field(
        default=None, ge=1, description="Sampler step at which the server stops answering."
    )
    freeze_seconds: float = Field(
        default=FOR_EVER, gt=0, description="How long it does not answer; for ever if unset."
    )
    hold_while: Path | None = Field(
        default=None, description="A file: while it is there, no sampler ends."
    )
    zombie_after: int | None = Field(
        default=None, ge=0, description="Ended prompts after which none is begun any more."
    )
    out_of_memory: int = Field(
        default=0, ge=0, description="How many prompts run out of GPU memory when they sample."
    )
    out_of_memory_at: frozenset[str] = Field(
        default=frozenset(), description="Classes of nodes that run out of GPU memory."
    )
    gpu_fault_after: int | None = Field(
        default=None, ge=0, description="Ended prompts after which each that samples has an error."
    )
    lose_history: bool = Field(default=False, description="No ended prompt is in the history.")
    odd_history: bool = Field(default=False, description="History entries have no status.")
    history_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Seconds from execution_success to the history entry; in ComfyUI 0–0.25.",
    )
    write_seconds: float = Field(
        default=0.0, ge=0, description="Seconds for which a file that is saved has half its bytes."
    )
    cut_files: bool = Field(default=False, description="Files lack their second half for ever.")
    start_seconds: float = Field(
        default=0.0, ge=0, description="Seconds from the start until it listens."
    )
    refuse_after: int | None = Field(
        default=None, ge=0, description="Ended prompts after which no connection is accepted."
    )
    server_errors: int = Field(
        default=0, ge=0, description="How many requests are answered with 500, the first ones."
    )
    server_errors_at: str = Field(
        default="", description="Words in the paths of requests that are answered with 500."
    )
    half_answers: float = Field(
        default=0.0, ge=0, le=1, description="Share of answers that break off in the middle."
    )
    submit_seconds: float = Field(
        default=0.0, ge=0, description="Seconds from taking a prompt to the answer that says so."
    )
    silent_sockets: bool = Field(
        default=False, description="WebSockets say nothing after their first message."
    )
    close_sockets_after: int | None = Field(
        default=None, ge=1, description="Messages after which a WebSocket is closed."
    )
    stale_events: bool = Field(
        default=False, description="The progress of an ended prompt is sent once more."
    )
    keep_queue: bool = Field(
        default=False, description="The queue is kept in a file and is there after a restart."
    )


def faults_of(texts: Iterable[str]) -> Faults:
    """The faults in `name` or `name=value`, each named as its field is, with hyphens.

    Raises:
        ConfigurationError: there is none of that name, or its value cannot be used.
    """
    pairs = (text.partition("=") for text in texts)
    given = {name.replace("-", "_"): value if sign else True for name, sign, value in pairs}
    try:
        if numbers := [name for name, value in given.items() if value is True and _counts(name)]:
            raise ConfigurationError(f"--fault {_option(numbers[0])} needs a value.", _choices())
        classes = given.get("out_of_memory_at")
        if isinstance(classes, str):
            given["out_of_memory_at"] = frozenset(classes.split("+"))  # type: ignore[assignment]
        return Faults.model_validate(given)
    except ValidationError as fault:
        first = fault.errors()[0]
        raise ConfigurationError(
            f"--fault {_option(str(first['loc'][0]))} cannot be used: {first['msg']}.", _choices()
        ) from None


def _counts(name: str) -> bool:
    field = Faults.model_fields.get(name)
    return field is not None and field.annotation is not bool


def _option(name: str) -> str:
    return name.replace("_", "-")


def _choices() -> str:
    return f"There is: {', '.join(map(_option, Faults.model_fields))}."
