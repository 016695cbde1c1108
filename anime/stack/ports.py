"""Ports: free ones found, taken ones named."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from anime.errors import ConfigurationError
from anime.net.sockets import listening_socket
from anime.settings import Settings


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A port to listen on, and the variable that sets it. Port 0 wishes for any free one."""

    variable: str
    port: int
    host: str = "127.0.0.1"
    hint: str = ""


def resolve_ports(wishes: Iterable[PortRequest]) -> list[int]:
    """The ports to use, in the order of the wishes, all different and free just now.

    Raises:
        ConfigurationError: one is taken or not allowed; the message names its variable.
    """
    with ExitStack() as held:  # all at once, so that no two wishes get the same port
        return [_bind(held, wish) for wish in wishes]


def _bind(held: ExitStack, wish: PortRequest) -> int:
    candidate = listening_socket(wish.host, wish.port, variable=wish.variable, hint=wish.hint)
    return int(held.enter_context(candidate).getsockname()[1])


COMFYUI_HINT = "; if your ComfyUI runs there: ANIME_COMFYUI_URL=http://127.0.0.1:{port}"


def with_free_ports(settings: Settings) -> Settings:
    """The settings with the ports of what is to be started, each free and none of them 0.

    Raises:
        ConfigurationError: one is taken or not allowed; the message names its variable.
    """
    wishes = [
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
    ports = resolve_ports([*wishes, *single.values()])
    count = len(wishes)
    found = dict(zip(single, ports[count:], strict=True))
    return settings.model_copy(update={"api_ports": tuple(ports[:count]), **found})


def without_taken_ports(settings: Settings) -> Settings:
    """The settings with any free port in place of each that somebody else has."""

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
