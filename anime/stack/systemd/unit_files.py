"""The texts of the units: which services there are, in which order, and what each may do."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

MARK = "# A unit of `anime services`."  # the first line; only files that begin so are removed
TARGET = "anime.target"
# A third of it is the interval of the signs of life; a busy machine delays them by seconds.
WATCHDOG_SECONDS = 60
# A worker that starts itself anew under the same number loads its flows meanwhile.
WORKER_WATCHDOG_SECONDS = 180
RESTART_SECONDS = 2
STOP_MARGIN_SECONDS = 5.0  # beyond the part's own time for its end, in which it is killed
OLD_NAMES = {  # of the services before this program, by the unit that does their work now
    "anime-api": ("anime-websocket",),
    "anime-worker": ("anime-file-organizer", "anime-job-monitor", "anime-job-worker"),
}

# Only system calls that it filters and flags that it sets for itself: a user's systemd may do
# these without any right.
SANDBOX_OF_USERS = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
MemoryDenyWriteExecute=yes
UMask=0077
"""
SANDBOX_OF_SYSTEM = """\
ProtectSystem=strict
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
"""
NO_DEVICES = "PrivateDevices=yes\n"
NVIDIA_ONLY = """\
DevicePolicy=closed
DeviceAllow=char-nvidia rw
DeviceAllow=char-nvidia-frontend rw
DeviceAllow=char-nvidia-uvm rw
"""
OWN_PROCESSES_ONLY = "ProtectProc=invisible\n"
NO_NETWORK = "PrivateNetwork=yes\n"
SOCKETS_ONLY = "RestrictAddressFamilies=AF_UNIX\n"
NETWORK = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the program and its data lie on this host, and who runs it.

    `account` is None for a user's own services; `writable` are the folders that they write to
    besides the data folder.
    """

    anime: tuple[str, ...]
    python: str
    project: Path
    home: Path
    environment_file: Path
    account: str | None = None
    writable: tuple[Path, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """One service: what it runs, after which others, and what it needs. Times are in seconds."""

    name: str
    description: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    kind: str = "notify"
    watchdog_seconds: int | None = WATCHDOG_SECONDS
    start_seconds: float = 300
    stop_seconds: float = 10
    niceness: int = 0
    has_network: bool = True
    sees_gpu: bool = False
    sockets: tuple[str, ...] = field(default=())

    @property
    def file(self) -> str:
        return f"{self.name}.service"


def unit_texts(units: Iterable[ServiceUnit], deployment: Deployment) -> dict[str, str]:
    """The text of each file by name: services, their sockets, and the target of all."""
    listed = list(units)
    texts = {unit.file: "".join(_service(unit, deployment)) for unit in listed}
    texts |= {f"{unit.name}.socket": _socket(unit) for unit in listed if unit.sockets}
    return texts | {TARGET: _target(deployment)}


def _service(unit: ServiceUnit, deployment: Deployment) -> Iterator[str]:
    yield f"{MARK}\n[Unit]\nDescription={unit.description}\nPartOf={TARGET}\n"
    # Only an order: what a service needs may be away for a while, and need not begin with it.
    after = [f"{name}.service" for name in unit.after]
    if deployment.account is not None:
        after.insert(0, "network-online.target")
    if after:
        yield f"After={' '.join(after)}\n"
    # It begins again for as long as it takes: what it needs may come back in an hour.
    yield f"StartLimitIntervalSec=0\n\n[Service]\nType={unit.kind}\n"
    if deployment.account is not None:
        yield f"User={deployment.account}\nGroup={deployment.account}\n"
    yield f"WorkingDirectory={_escaped(deployment.project)}\n"
    yield f"EnvironmentFile={_escaped(deployment.environment_file)}\n"
    for name, value in deployment.environment:
        yield f"Environment={_quoted(f'{name}={value}', is_command=False)}\n"
    yield f"ExecStart={' '.join(map(_quoted, unit.command))}\n"
    yield f"SyslogIdentifier={unit.name}\n"
    yield f"TimeoutStartSec={unit.start_seconds:g}\n"
    yield from _ending(unit)
    if unit.niceness:
        yield f"Nice={unit.niceness}\n"
    yield from _sandbox(unit, deployment)
    yield f"\n[Install]\nWantedBy={TARGET}\n"
    yield from (f"Alias={old}.service\n" for old in OLD_NAMES.get(unit.name, ()))


def _ending(unit: ServiceUnit) -> Iterator[str]:
    if unit.kind == "oneshot":
        yield "RemainAfterExit=yes\n"  # what has ended well is active, as all others are
        return
    yield f"TimeoutStopSec={unit.stop_seconds + STOP_MARGIN_SECONDS:g}\n"
    yield "KillMode=mixed\n"  # the main process ends its children itself; what is left is killed
    yield f"Restart=always\nRestartSec={RESTART_SECONDS}\n"
    # A child that takes too much memory, such as a reader of files, does not take all with it.
    yield "OOMPolicy=continue\n"
    if unit.kind == "notify":
        yield "NotifyAccess=main\n"
    if unit.watchdog_seconds is not None:
        yield f"WatchdogSec={unit.watchdog_seconds}\n"


def _sandbox(unit: ServiceUnit, deployment: Deployment) -> Iterator[str]:
    yield "\n" + SANDBOX_OF_USERS
    yield NETWORK if unit.has_network else SOCKETS_ONLY
    if deployment.account is None:
        return
    yield SANDBOX_OF_SYSTEM
    yield NVIDIA_ONLY if unit.sees_gpu else NO_DEVICES
    if not unit.sees_gpu:  # whose driver names processes of others, which must be found
        yield OWN_PROCESSES_ONLY
    if not unit.has_network:
        yield NO_NETWORK
    folders = (deployment.home, *deployment.writable)
    # A virtual environment's Python is a link, often to one that lies in a home.
    is_in_a_home = any(
        where.is_relative_to(folder)
        for path in (deployment.project, Path(deployment.python), *folders)
        for where in (path, path.resolve())
        for folder in ("/home", "/root", "/run/user")
    )
    yield f"ProtectHome={'read-only' if is_in_a_home else 'yes'}\n"
    # A folder that is not mounted now must not keep the service from starting.
    yield f"ReadWritePaths={' '.join(f'-{_escaped(folder)}' for folder in folders)}\n"


def _socket(unit: ServiceUnit) -> str:
    """The ports stay open while the service is replaced: who connects then waits."""
    streams = "".join(f"ListenStream={address}\n" for address in unit.sockets)
    return (
        f"{MARK}\n[Unit]\nDescription=Ports of {unit.name}\nPartOf={TARGET}\n"
        f"\n[Socket]\n{streams}Backlog=2048\nNoDelay=yes\n"
        f"\n[Install]\nWantedBy={TARGET}\n"
    )


def _target(deployment: Deployment) -> str:
    wanted_by = "default.target" if deployment.account is None else "multi-user.target"
    wants = "" if deployment.account is None else "Wants=network-online.target\n"
    return (
        f"{MARK}\n[Unit]\nDescription=Anime production\n{wants}\n[Install]\nWantedBy={wanted_by}\n"
    )


def _escaped(path: Path) -> str:
    """The path for a setting of systemd, in which % begins a specifier."""
    text = str(path).replace("%", "%%")
    return shlex.quote(text) if " " in text else text


def _quoted(word: str, *, is_command: bool = True) -> str:
    r"""The word for a setting of systemd; in commands, a dollar sign begins a variable.

    >>> _quoted("/opt/anime"), _quoted('50% "off" $HOME')
    ('/opt/anime', '"50%% \\"off\\" $$HOME"')
    """
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if is_command:
        text = text.replace("$", "$$")
    return text if text == word and " " not in word and word else f'"{text}"'
