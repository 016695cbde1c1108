"""The ports of the stack: finds free ones, and names the variable of a taken one."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from random import sample

from anime.errors import ConfigurationError
from anime.net.sockets import listening_socket, reserve_port
from anime.settings import Settings


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A port to listen on, and the variable that sets it. Port 0 means any free one."""

    variable: str
    port: int
    host: str = "127.0.0.1"
    hint: str = ""


def resolve_ports(requests: Iterable[PortRequest], reserved: ExitStack | None = None) -> list[int]:
    """The ports to use, in the order of the requests, all different and free now.

    No other stack picks one that was picked here until `reserved` is closed.

    Raises:
        ConfigurationError: one is taken or not allowed; the message names its variable.
    """
    with ExitStack() as held:  # all at once, so that no two requests get the same port
        picked = reserved if reserved is not None and sys.platform == "linux" else held
        return [_pick(picked, each) if each.port == 0 else _hold(held, each) for each in requests]


# Below those that Linux gives to outgoing connections, one of which could take a port between this
# look and the start of the part that is to listen there.
_ANY_PORT = range(20_000, 32_768)
_TRIES = 20


def _pick(reserved: ExitStack, request: PortRequest) -> int:
    for port in sample(_ANY_PORT, _TRIES):
        with suppress(OSError):
            reserved.enter_context(reserve_port(request.host, port))
            return port
    with ExitStack() as held:
        return _hold(held, request)


def _hold(held: ExitStack, request: PortRequest) -> int:
    candidate = listening_socket(
        request.host, request.port, variable=request.variable, hint=request.hint
    )
    return int(held.enter_context(candidate).getsockname()[1])


COMFYUI_HINT = "; if your ComfyUI runs there: ANIME_COMFYUI_URL=http://127.0.0.1:{port}"


def with_free_ports(settings: Settings, reserved: ExitStack | None = None) -> Settings:
    """The settings with the ports of the parts to be started, each free and none of them 0.

    `comfyui_url` names the rehearsal servers if it was unset; each after the first has the port
    after that of the one before it, or any free one. Those picked stay so as `resolve_ports` says.

    Raises:
        ConfigurationError: one is taken or not allowed; the message names its variable.
    """
    requests = [
        PortRequest("ANIME_API_PORTS", port, settings.api_host) for port in settings.api_ports
    ]
    single = {"ws_port": PortRequest("ANIME_WS_PORT", settings.ws_port, settings.api_host)}
    if settings.prefect_api_url is None:
        single["prefect_port"] = PortRequest("ANIME_PREFECT_PORT", settings.prefect_port)
    if settings.comfyui_url is None:
        hint = COMFYUI_HINT.format(port=settings.rehearsal_port)
        single["rehearsal_port"] = PortRequest(
            "ANIME_REHEARSAL_PORT", settings.rehearsal_port, hint=hint
        )
    further = [
        PortRequest("ANIME_REHEARSAL_PORT", settings.rehearsal_port and settings.rehearsal_port + n)
        for n in range(1, settings.rehearsal_servers)
        if settings.comfyui_url is None
    ]
    ports = iter(resolve_ports([*requests, *single.values(), *further], reserved))
    api_ports = tuple(islice(ports, len(requests)))
    found: dict[str, object] = {name: next(ports) for name in single}
    if settings.comfyui_url is None:
        rehearsal_ports = (found["rehearsal_port"], *ports)
        found["comfyui_url"] = ",".join(f"http://127.0.0.1:{port}" for port in rehearsal_ports)
    return settings.model_copy(update={"api_ports": api_ports, **found})


def without_taken_ports(settings: Settings) -> Settings:
    """The settings with 0, which means any free port, in place of each port that is taken."""

    def free(port: int, host: str = "127.0.0.1") -> int:
        try:
            resolve_ports([PortRequest("", port, host)])
        except ConfigurationError:
            return 0
        return port

    return settings.model_copy(
        update={
            "api_ports": tuple(free(port, settings.api_host) for port in settings.api_ports),
            "ws_port": free(settings.ws_port, settings.api_host),
            "prefect_port": free(settings.prefect_port),
            "rehearsal_port": free(settings.rehearsal_port),
        }
    )
