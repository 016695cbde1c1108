"""ComfyUI servers and pauses, as people send them and as they are shown."""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from anime.core.paths import slug_of
from anime.core.server_health import ServerHealth
from anime.schemas import Storable

MAX_LABELS = 16
LABEL = r"^[a-z0-9][a-z0-9._-]*$"
EVERYTHING = "all"  # the scope of a pause: every render

Label = Annotated[str, Field(max_length=60, pattern=LABEL)]
Labels = Annotated[
    list[Label], Field(max_length=MAX_LABELS, description="Words by which a request names servers.")
]
Reason = Annotated[str, Field(max_length=500), Storable]


class ServerFingerprint(BaseModel):
    """What a server can do: equal as long as neither it nor its machine is changed.

    `features` are those that it has, by name; `node_packages` the folders of custom nodes that
    have loaded; `packages` its Python packages with their versions; None where the server does
    not tell. `devices` are all that it can compute on, the one that it renders on first;
    `vram_total_mb` is that one's.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    pytorch_version: str = ""
    features: tuple[str, ...] | None = None
    node_packages: tuple[str, ...] | None = None
    packages: tuple[str, ...] | None = None
    devices: tuple[str, ...] = ()
    vram_total_mb: int | None = None

    def describe(self) -> str:
        """Features and packages of nodes in one line."""
        return (
            f"{_listed('features', self.features)}; {_listed('node packages', self.node_packages)}"
        )


def _listed(what: str, names: tuple[str, ...] | None) -> str:
    if names is None:
        return f"{what} unknown"
    return f"{what} {', '.join(names)}" if names else f"no {what}"


class ServerForm(BaseModel):
    """What people say of a server, wherever they say it."""

    model_config = ConfigDict(frozen=True)

    url: str
    labels: tuple[str, ...] = ()
    is_drained: bool = False


class ServerRecord(BaseModel):
    """A server that the studio knows."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(description="Its address, without a login.")
    name: str
    labels: tuple[str, ...] = ()
    from_settings: bool = Field(description="Whether ANIME_COMFYUI_URL names it.")
    is_drained: bool = Field(description="It is given nothing more until somebody resumes it.")
    health: ServerHealth
    health_reason: str
    health_since: AwareDatetime
    last_seen_at: AwareDatetime | None = Field(description="Its last answer.")
    checked_at: AwareDatetime | None = Field(description="The last look at it.")
    fingerprint: ServerFingerprint | None = Field(description="None until it has answered.")
    offers: dict[str, tuple[str, ...]] = Field(description="Its models, by folder.")
    loaded_model: str | None = Field(description="That of the last prompt that it was given.")

    @property
    def form(self) -> ServerForm:
        """What people have said of it."""
        return ServerForm(url=self.url, labels=self.labels, is_drained=self.is_drained)

    def answers_to(self, wanted: str, *addresses: str) -> bool:
        """Whether that is its name or one of its labels, in any case, or one its address."""
        names = {each.casefold() for each in (self.name, *self.labels)}
        return wanted.casefold() in names or self.url in addresses


def server_like(recorded: Mapping[str, object], servers: Sequence[ServerRecord]) -> str | None:
    """The name of a server with the version and device that a file's record names.

    Args:
        recorded: `server` of the file's row: url, comfyui_version, device.
        servers: Those to choose from; the one that has made the file goes first.
    """
    version, device, url = (recorded.get(key) for key in ("comfyui_version", "device", "url"))
    alike = [
        each
        for each in servers
        if each.fingerprint is not None
        and version
        and each.fingerprint.version == version
        and (not device or device in each.fingerprint.devices)
    ]
    return min(alike, key=lambda each: each.url != url).name if alike else None


class CheckedServer(BaseModel):
    """What a close look at a server has shown."""

    server: ServerRecord
    answers: bool
    renders: bool | None = Field(description="None: unchecked, as others' prompts are there.")
    detail: str


class NewServer(BaseModel):
    """A server to be known."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=2000, description="Its address, such as http://gpu-b:8188.")
    name: Label | None = Field(default=None, description="Made from the address if left out.")
    labels: Labels = Field(default_factory=list)


class PauseScope(StrEnum):
    """What a pause can be of, beside everything."""

    PROJECT = "project"
    SERVER = "server"


class NewPause(BaseModel):
    """What is to be paused: of nothing named, everything."""

    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(default=None, max_length=120, description="Its name or slug.")
    server: str | None = Field(default=None, max_length=2000, description="Its name or address.")
    reason: Reason = ""


class PauseRecord(BaseModel):
    """No new render begins within that scope."""

    model_config = ConfigDict(frozen=True)

    scope: str = Field(description="`all`, `project:SLUG` or `server:URL`.")
    reason: str
    is_automatic: bool = Field(description="It ends by itself.")
    since: AwareDatetime

    def describe(self) -> str:
        """The pause in a sentence."""
        what = "All new renders are" if self.scope == EVERYTHING else f"{self.scope} is"
        return f"{what} paused{f': {self.reason}' if self.reason else ''}"

    @property
    def todo(self) -> str:
        """What ends it."""
        if self.is_automatic:
            return "It ends by itself once there is room, or the disk answers again."
        kind, _, named = self.scope.partition(":")
        return f"`anime resume{f' --{kind} {named}' if named else ''}` ends it."


class ServerList(BaseModel):
    """All servers, by name."""

    items: list[ServerRecord]


class PauseList(BaseModel):
    """All pauses, the oldest first."""

    items: list[PauseRecord]


_Facts = str | tuple[str, ...] | None
_COMPARED: dict[str, Callable[[ServerFingerprint], _Facts]] = {
    "ComfyUI": lambda each: each.version or None,
    "PyTorch": lambda each: each.pytorch_version or None,
    "node packages": lambda each: each.node_packages,
    "Python packages": lambda each: each.packages,
}


def differences(servers: Sequence[ServerRecord]) -> list[str]:
    """How servers differ in what a graph may need: a line for each subject.

    What a server does not tell is not compared.
    """
    lines = []
    for subject, facts in _COMPARED.items():
        told = {each.name: facts(each.fingerprint) for each in servers if each.fingerprint}
        known = {name: _as_set(value) for name, value in told.items() if value is not None}
        common = frozenset.intersection(*known.values()) if known else frozenset()
        own = {name: sorted(value - common, key=str.lower) for name, value in known.items()}
        if any(own.values()):
            listed = "; ".join(f"{name}: {', '.join(each) or '–'}" for name, each in own.items())
            lines.append(f"{subject} ({listed})")
    return lines


def _as_set(value: str | tuple[str, ...]) -> frozenset[str]:
    return frozenset({value}) if isinstance(value, str) else frozenset(value)


def project_scope(slug: str) -> str:
    """The scope of a pause of that project."""
    return f"{PauseScope.PROJECT}:{slug}"


def server_scope(url: str) -> str:
    """The scope of a pause of the server with that canonical address."""
    return f"{PauseScope.SERVER}:{url}"


def block_name_of(name: str) -> str:
    """The name of the server's block in Prefect, which takes letters, digits and hyphens alone.

    >>> block_name_of("gpu-b.studio-8188")
    'gpu-b-studio-8188'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def default_name(url: str) -> str:
    """The name of a server that was given none: its host and port.

    >>> default_name("http://gpu-b.studio:8188"), default_name("https://studio/comfy")
    ('gpu-b.studio-8188', 'studio-comfy')
    """
    name = re.sub(r"[^a-z0-9._]+", "-", url.partition("://")[2].lower()).strip("-._")
    return name or slug_of(url)
