"""What a ComfyUI server is fit for, decided from one look after another."""

from dataclasses import dataclass
from enum import StrEnum

DEAD_SECONDS = 10.0  # refused for so long: no restart of a healthy server takes longer to listen
SILENT_SECONDS = 15.0  # without an answer for so long: no busy server takes longer
STUCK_SECONDS = 15.0  # prompts wait for so long while nothing runs: nobody takes them


class ServerHealth(StrEnum):
    """What the last looks at a server have shown. Only an alive one is given prompts."""

    UNKNOWN = "unknown"  # nobody has looked yet, or something there made a run suspicious
    ALIVE = "alive"  # it answers, and renders
    UNRESPONSIVE = "unresponsive"  # silent: it may be at work on what it has
    UNREACHABLE = "unreachable"  # dead: its machine answers, and nobody listens at the port
    ZOMBIE = "zombie"  # it answers and renders nothing
    LATCHED = "latched"  # its GPU had a fault that only a restart of ComfyUI heals


class Sight(StrEnum):
    """What one look at a server saw."""

    ANSWERS = "answers"
    REFUSES = "refuses"  # its machine refuses the connection
    SILENT = "silent"  # no answer in time, no way there, or only errors


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a server, and what is known beside it.

    `seconds`: for how long each look has seen the same. `renders`: whether a prompt was seen to
    render, or not to; None if that is unknown. `is_cleared`: nothing is left there that a job has
    moved away from.
    """

    sight: Sight
    seconds: float = 0.0
    detail: str = ""
    renders: bool | None = None
    is_cleared: bool = False


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """A server's health, and why."""

    health: ServerHealth
    reason: str


def verdict_on(health: ServerHealth, look: Look) -> HealthVerdict | None:
    """The server's health after the look; None while it stays as it is.

    Dead is only what refuses; silence proves nothing, since a silent server may render on. What
    was dead stays so until it answers, as its prompts are gone. One that answers again is alive
    when it is cleared, unless its GPU is at fault: for that it must have been restarted.
    """
    match look.sight:
        case Sight.REFUSES:
            verdict = _on_refusal(health, look)
        case Sight.SILENT:
            verdict = _on_silence(health, look)
        case Sight.ANSWERS:
            verdict = _on_answer(health, look)
    return verdict if verdict is not None and verdict.health is not health else None


def _on_refusal(health: ServerHealth, look: Look) -> HealthVerdict | None:
    was_faulty = health in {ServerHealth.LATCHED, ServerHealth.ZOMBIE}
    if not was_faulty and look.seconds < DEAD_SECONDS:
        return None
    return HealthVerdict(
        ServerHealth.UNREACHABLE,
        f"Nobody has listened at its port for {look.seconds:.0f} s. {look.detail}".strip(),
    )


def _on_silence(health: ServerHealth, look: Look) -> HealthVerdict | None:
    if health in {ServerHealth.UNREACHABLE, ServerHealth.LATCHED}:
        return None
    if look.seconds < SILENT_SECONDS:
        return None
    return HealthVerdict(
        ServerHealth.UNRESPONSIVE,
        f"It has not answered for {look.seconds:.0f} s. {look.detail}".strip(),
    )


def _on_answer(health: ServerHealth, look: Look) -> HealthVerdict | None:
    if health is ServerHealth.LATCHED:
        return None
    if look.renders is False:
        return HealthVerdict(ServerHealth.ZOMBIE, f"It renders nothing. {look.detail}".strip())
    if health is ServerHealth.ZOMBIE:
        return HealthVerdict(ServerHealth.ALIVE, "It renders again.") if look.renders else None
    if not look.is_cleared:
        return None
    renders = " and renders" if look.renders else ""
    return HealthVerdict(ServerHealth.ALIVE, f"It answers{renders}.")
