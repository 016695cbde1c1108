"""What a ComfyUI server is fit for."""

from enum import StrEnum


class ServerHealth(StrEnum):
    """What the last looks at a server have shown. Only an alive one is given prompts."""

    UNKNOWN = "unknown"  # nobody has looked yet
    ALIVE = "alive"  # it answers, and renders
    UNRESPONSIVE = "unresponsive"  # it accepts connections and does not answer
    UNREACHABLE = "unreachable"  # nobody accepts a connection, or there is no way to it
    ZOMBIE = "zombie"  # it answers and renders nothing
    LATCHED = "latched"  # its GPU had a fault that only a restart of ComfyUI heals
