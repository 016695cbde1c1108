"""Installs the stack's parts as services of systemd, and removes them; data stay as they are."""

import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from anime.api.access import Access
from anime.errors import ConfigurationError
from anime.settings import PROJECT_DIR, Settings
from anime.settings.inherited import environment_without_secrets
from anime.settings.services_file import (
    OWN_SERVICES,
    read_services,
    retire_services,
    services_path,
    write_services,
)
from anime.settings.stack_record import read_record
from anime.stack.environment import child_environment, prefect_home, settings_environment
from anime.stack.home import MAX_SOCKET_PATH_BYTES, private_folder
from anime.stack.parts import BACKGROUND_NICENESS, ServiceAccount
from anime.stack.postgres import DATABASE, PREFECT_DATABASE
from anime.stack.postgres_account import can_run, system_account
from anime.stack.postgres_cluster import ROLE
from anime.stack.postgres_cluster import SOCKET as POSTGRES_SOCKET
from anime.stack.prefect_command import prefect_module
from anime.stack.prefect_server import new_auth_string, prefect_api_url
from anime.stack.services import HAND_BACK_SECONDS, SETUP_TIMEOUT_SECONDS
from anime.stack.systemd.unit_files import (
    MARK,
    OLD_NAMES,
    TARGET,
    WORKER_WATCHDOG_SECONDS,
    Deployment,
    ServiceUnit,
    unit_texts,
)
from anime.stack.valkey import DATABASE as VALKEY_DATABASE
from anime.stack.valkey import SOCKET as VALKEY_SOCKET

SYSTEM_HOME = Path("/var/lib/anime")
SYSTEM_UNITS = Path("/etc/systemd/system")
ACCOUNT = "anime"
TIMEOUT_SECONDS = 60
START_TIMEOUT_SECONDS = 900  # of all services together: the first start makes a database
STORES = ("anime-postgresql.service", "anime-valkey.service")  # all others would lose them
# What others' addresses replace, by the service of ours.
REPLACED_BY = {
    "postgresql": "ANIME_DATABASE_URL",
    "valkey": "ANIME_REDIS_URL",
    "prefect": "PREFECT_API_URL",
    "rehearsal": "ANIME_COMFYUI_URL",
}
WRITTEN_TO = ("ANIME_LIBRARY_DIR", "ANIME_ARCHIVE_DIR", "ANIME_BACKUP_DIR")
# Of the environment of `anime up`'s parts, what services are given, too.
PASSED_ON = ("DO_NOT_TRACK", "NO_PROXY", "PATH", "PREFECT_SERVER_ANALYTICS_ENABLED")


@dataclass(frozen=True, slots=True)
class Installation:
    """What would be written: the units by file name, and the variables of the services."""

    folder: Path
    units: Mapping[str, str]
    variables: Mapping[str, str]
    deployment: Deployment

    @property
    def is_of_user(self) -> bool:
        """Whether they are a user's own services."""
        return self.deployment.account is None


def planned_installation(
    settings: Settings, account: str | None, only: Collection[str] = ()
) -> Installation:
    """The services of these settings.

    Args:
        settings: what has an address there is used, and is no service here.
        account: whose services they are; None for this user's own.
        only: the names of the services, such as worker; all if empty.

    Raises:
        ConfigurationError: a port is 0, the API would be open to others, a stack runs there, the
            data folder's path is too long, or there is no service of one of the names.
    """
    Access.from_settings(settings)
    if (record := read_record(settings.home)) is not None:
        raise ConfigurationError(
            f"A stack runs at {settings.home} (process {record.pid}).", "Stop it first."
        )
    own = _own_services(settings)
    _check_ports(settings, own)
    resolved = _resolved(settings, own)
    is_given = resolved.model_fields_set | {"home"}
    known = settings_environment(resolved)
    fields = {name: known[name] for name in known if _field_of(name) in is_given}
    deployment = _deployment(resolved, account, own)
    units = _chosen(list(_units(resolved, own, deployment)), only)
    return Installation(
        folder=SYSTEM_UNITS if account else _user_units(),
        units=unit_texts(units, deployment),
        variables={**fields, OWN_SERVICES: ",".join(own)},
        deployment=deployment,
    )


def install(plan: Installation, *, start: bool = True) -> None:
    """Write the units and the variables, and start the services.

    Those that run already are replaced, one after the other: tables and deployments first, for
    which the older programs are fit, too.

    Raises:
        ConfigurationError: a folder cannot be written, a file is another program's, or systemd
            does not do as it is told.
    """
    home = plan.deployment.home
    _refuse_foreign(plan)
    before = installed_units(plan.folder)
    try:
        if plan.is_of_user:
            private_folder(home)
            write_services(home, plan.variables)
        else:
            _write_for_account(plan)
        plan.folder.mkdir(parents=True, exist_ok=True)
        for name, text in plan.units.items():
            (plan.folder / name).write_text(text)
        for old in before - set(plan.units):
            _systemctl(plan, "disable", "--now", old)
            (plan.folder / old).unlink()
    except OSError as fault:
        raise ConfigurationError(
            f"{fault.filename} cannot be written: {fault.strerror}.",
            "Run it as root, or with --user for services of your own.",
        ) from fault
    _systemctl(plan, "daemon-reload")
    _systemctl(plan, "enable", *plan.units)
    if start:
        _systemctl(plan, "start", *plan.units, timeout_seconds=START_TIMEOUT_SECONDS)
        for name in plan.units:
            if name in before and name.endswith(".service") and name not in STORES:
                _systemctl(plan, "restart", name, timeout_seconds=START_TIMEOUT_SECONDS)


def _write_for_account(plan: Installation) -> None:
    account = system_account(plan.deployment.account or ACCOUNT, "Run it as root, or with --user.")
    _make_home(plan.deployment.home, plan.deployment, account)
    _check_writable(plan.variables, account)
    os.chown(write_services(plan.deployment.home, plan.variables), account.uid, account.gid)


def _check_writable(variables: Mapping[str, str], account: ServiceAccount) -> None:
    """Make sure that the account can write to its folders, as far as they are there.

    Raises:
        ConfigurationError: it cannot.
    """
    for name in WRITTEN_TO:
        folder = variables.get(name, "")
        if folder and Path(folder).is_dir() and not can_run(["test", "-w", folder], account):
            raise ConfigurationError(
                f"The account {account.name} may not write to {folder}, {name}.",
                f"Give it the right, as by `chown {account.name}: {folder}`.",
            )


def uninstall(home: Path, *, is_of_user: bool) -> list[str]:
    """Stop the services of that data folder and remove their units; returns the units' names.

    Data stay, and so do the settings, under another name.

    Raises:
        ConfigurationError: they cannot be removed, or systemd does not do as it is told.
    """
    folder = _user_units() if is_of_user else SYSTEM_UNITS
    found = sorted(installed_units(folder))
    if not found:
        return []
    run_systemctl("disable", "--now", *found, is_of_user=is_of_user, timeout_seconds=300)
    for name in found:
        (folder / name).unlink()
    run_systemctl("daemon-reload", is_of_user=is_of_user)
    retire_services(home)
    return found


def installed_units(folder: Path) -> set[str]:
    """The names of the units in that folder that are ours."""
    units = (*folder.glob("anime-*.service"), *folder.glob("anime-*.socket"), folder / TARGET)
    return {path.name for path in units if not path.is_symlink() and _is_ours(path)}


def is_service(unit: str, home: Path) -> bool:
    """Whether that unit of ours is installed, and services have that data folder."""
    folders = (SYSTEM_UNITS, _user_units())
    return bool(read_services(home)) and any(unit in installed_units(each) for each in folders)


def unit_folder(*, is_of_user: bool) -> Path:
    """Where units are written."""
    return _user_units() if is_of_user else SYSTEM_UNITS


def unit_named(name: str) -> str:
    """The unit of a service, named in short or as an older installation called it.

    >>> unit_named("api"), unit_named("anime-worker.service"), unit_named("anime-job-monitor")
    ('anime-api', 'anime-worker', 'anime-worker')
    """
    full = name.removesuffix(".service")
    full = full if full.startswith("anime-") else f"anime-{full}"
    return next((unit for unit, old in OLD_NAMES.items() if full in old), full)


def run_systemctl(*words: str, is_of_user: bool, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Tell systemd to do that.

    Raises:
        ConfigurationError: there is none here, or it does not.
    """
    command = ["systemctl", *user_option(is_of_user=is_of_user), *words]
    done = _called(command, timeout_seconds, is_shown=False)
    if done.returncode:
        raise ConfigurationError(
            f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}",
            "The units are written. See: anime services status; anime services logs.",
        )


def show_status(units: Iterable[str], *, is_of_user: bool) -> bool:
    """Let systemd print how the units are; whether all are active.

    Raises:
        ConfigurationError: there is none here, or it does not answer.
    """
    words = ["--no-pager", "--lines=0", "status", *units]
    command = ["systemctl", *user_option(is_of_user=is_of_user), *words]
    return _called(command, TIMEOUT_SECONDS, is_shown=True).returncode == 0


def user_option(*, is_of_user: bool) -> list[str]:
    """What systemd's programs are told when the services are a user's own."""
    return ["--user"] if is_of_user else []


@contextmanager
def systemd_needed() -> Iterator[None]:
    """Raises ConfigurationError if one of systemd's programs that the block calls is missing."""
    try:
        yield
    except FileNotFoundError:
        raise ConfigurationError(
            "There is no systemd on this machine.", "Keep the parts running with `anime up`."
        ) from None


def _called(
    command: list[str], timeout_seconds: float, *, is_shown: bool
) -> "subprocess.CompletedProcess[str]":
    try:
        with systemd_needed():
            return subprocess.run(
                command,
                env=environment_without_secrets("XDG_", "DBUS_", "SYSTEMD_", "TERM"),
                capture_output=not is_shown,
                text=True,
                check=False,
                timeout=timeout_seconds,
            )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"`{' '.join(command)}` has not ended in {timeout_seconds:g} s.",
            "See what is waited for: systemctl list-jobs; anime services logs.",
        ) from None


def _systemctl(plan: Installation, *words: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    run_systemctl(*words, is_of_user=plan.is_of_user, timeout_seconds=timeout_seconds)


def _own_services(settings: Settings) -> list[str]:
    """The programs of ours that the settings name no other for."""
    before = read_services(settings.home)
    were_own = before.get(OWN_SERVICES, "").split(",")
    known = settings_environment(settings)
    return [
        name
        for name, variable in REPLACED_BY.items()
        if variable not in known or (name in were_own and known[variable] == before.get(variable))
    ]


def _check_ports(settings: Settings, own: Sequence[str]) -> None:
    ports = [("ANIME_API_PORTS", port) for port in settings.api_ports]
    ports.append(("ANIME_WS_PORT", settings.ws_port))
    if "prefect" in own:
        ports.append(("ANIME_PREFECT_PORT", settings.prefect_port))
    if "rehearsal" in own:
        ports.append(("ANIME_REHEARSAL_PORT", settings.rehearsal_port))
    for variable, port in ports:
        if port == 0:
            raise ConfigurationError(
                f"{variable} is 0, and a service needs the same port at every start.",
                f"Set {variable} to a free port.",
            )


def _resolved(settings: Settings, own: Sequence[str]) -> Settings:
    """The settings with the addresses of our own services."""
    home, found = settings.home, dict[str, object]()
    if "postgresql" in own:
        folder = _checked_socket(home / "postgres" / "sockets", POSTGRES_SOCKET)
        host = quote(str(folder), safe="")
        found["database_url"] = SecretStr(f"postgresql+psycopg://{ROLE}@/{DATABASE}?host={host}")
        if settings.prefect_database_url is None:
            url = f"postgresql+asyncpg://{ROLE}@/{PREFECT_DATABASE}?host={host}"
            found["prefect_database_url"] = SecretStr(url)
    if "valkey" in own:
        path = quote(str(_checked_socket(home / "valkey", VALKEY_SOCKET) / VALKEY_SOCKET))
        found["redis_url"] = SecretStr(f"unix://{path}?db={VALKEY_DATABASE}")
    if "prefect" in own:
        found["prefect_api_url"] = prefect_api_url(settings)
        if settings.prefect_api_auth_string is None:
            found["prefect_api_auth_string"] = SecretStr(new_auth_string())
    if "rehearsal" in own:
        found["comfyui_url"] = f"http://127.0.0.1:{settings.rehearsal_port}"
        if settings.swept_folder is None:
            found["sweep_dir"] = home / "rehearsal" / "output"
    return settings.model_copy(update=found)


def _checked_socket(folder: Path, name: str) -> Path:
    if len(os.fsencode(folder / name)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigurationError(
            f"The path {folder / name} is too long for a socket.",
            "Set ANIME_HOME to a folder with a shorter path.",
        )
    return folder


def _deployment(settings: Settings, account: str | None, own: Sequence[str]) -> Deployment:
    known = child_environment(settings)
    environment = {name: known[name] for name in PASSED_ON} | {"PYTHONUNBUFFERED": "1"}
    if account is not None:  # root's own PATH is of no use to another account
        environment["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    if "prefect" in own:
        environment["PREFECT_HOME"] = str(prefect_home(settings))
    folders = (
        settings.library,
        settings.own_workflows,
        settings.archive_dir,
        settings.backup_dir,
        *settings.folders_of_comfyui,
    )
    return Deployment(
        anime=(str(Path(sys.executable).with_name("anime")),),
        python=sys.executable,
        project=PROJECT_DIR,
        home=settings.home,
        environment_file=services_path(settings.home),
        account=account,
        writable=tuple(each for each in folders if each and not each.is_relative_to(settings.home)),
        environment=tuple(environment.items()),
    )


def _units(settings: Settings, own: Sequence[str], here: Deployment) -> Iterator[ServiceUnit]:
    """The services, in the order in which they start."""
    from anime.api.serve import STOP_SECONDS  # with all of the API, which takes a second

    stores = tuple(f"anime-{name}" for name in ("postgresql", "valkey") if name in own)
    prefect = ("anime-prefect",) if "prefect" in own else ()
    if "postgresql" in own:
        yield _own_unit(here, "postgresql", "PostgreSQL", stop_seconds=30, has_network=False)
    if "valkey" in own:
        yield _own_unit(here, "valkey", "Valkey", has_network=False)
    yield ServiceUnit(
        name="anime-migrations",
        description="Migrations of the studio's tables",
        command=(*here.anime, "migrate"),
        after=stores,
        kind="oneshot",
        start_seconds=4 * 3600,
    )
    if "prefect" in own:
        after = tuple(name for name in stores if name == "anime-postgresql")
        yield _own_unit(here, "prefect", "Prefect server", after=after, niceness=5)
    yield ServiceUnit(
        name="anime-deployments",
        description="Work pool, queues and deployments in Prefect",
        command=(
            here.python,
            *prefect_module(settings, "anime.stack.prefect_setup"),
            str(here.project),
        ),
        after=prefect,
        kind="oneshot",
        start_seconds=SETUP_TIMEOUT_SECONDS,
    )
    if "rehearsal" in own:
        yield _own_unit(here, "rehearsal", "Rehearsal server in place of ComfyUI")
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    host = "127.0.0.1" if host == "localhost" else host
    yield ServiceUnit(
        name="anime-api",
        description="HTTP API and WebSocket of the studio",
        command=(*here.anime, "serve"),
        after=(*stores, "anime-migrations"),
        stop_seconds=2 * STOP_SECONDS,
        sockets=tuple(f"{host}:{port}" for port in (*settings.api_ports, settings.ws_port)),
    )
    yield _worker_unit(settings, here, (*stores, *prefect, "anime-migrations"))


def _chosen(units: list[ServiceUnit], only: Collection[str]) -> list[ServiceUnit]:
    by_name = {unit.name.removeprefix("anime-"): unit for unit in units}
    if unknown := sorted(set(only) - by_name.keys()):
        raise ConfigurationError(
            f"There is no service {', '.join(unknown)} here.", f"There are: {', '.join(by_name)}."
        )
    return [unit for name, unit in by_name.items() if not only or name in only]


def _worker_unit(settings: Settings, here: Deployment, after: tuple[str, ...]) -> ServiceUnit:
    is_warm = settings.worker_type == "anime-warm"  # Prefect's own type tells systemd nothing
    return ServiceUnit(
        name="anime-worker",
        description="Worker that runs the studio's generations",
        command=(*here.anime, "worker"),
        after=(*after, "anime-deployments"),
        kind="notify" if is_warm else "exec",
        watchdog_seconds=WORKER_WATCHDOG_SECONDS if is_warm else None,
        stop_seconds=settings.worker_grace_seconds + HAND_BACK_SECONDS,
        niceness=BACKGROUND_NICENESS,
        sees_gpu=True,
    )


def _own_unit(here: Deployment, name: str, description: str, **more: object) -> ServiceUnit:
    return ServiceUnit(
        name=f"anime-{name}",
        description=description,
        command=(*here.anime, "services", "run", name),
        **more,  # type: ignore[arg-type]  # fields of a unit, as the calls above name them
    )


def _refuse_foreign(plan: Installation) -> None:
    """Make sure that no name of ours, or of old that we take, is another program's.

    Raises:
        ConfigurationError: some are.
    """
    foreign = [name for name in plan.units if _is_foreign(plan.folder / name)]
    for unit, names in OLD_NAMES.items():
        if f"{unit}.service" in plan.units:
            aliases = [f"{name}.service" for name in names]
            foreign += [
                name for name in aliases if _is_taken(plan.folder / name, f"{unit}.service")
            ]
    if foreign:
        paths = ", ".join(str(plan.folder / name) for name in foreign)
        command = " ".join(
            ["systemctl", *user_option(is_of_user=plan.is_of_user), "disable --now", *foreign]
        )
        raise ConfigurationError(
            f"Units of others have names of ours: {paths}.",
            f"If these services replace them: `{command}`, and move those files away.",
        )


def _is_foreign(path: Path) -> bool:
    return path.exists() and not _is_ours(path)


def _is_taken(alias: Path, unit: str) -> bool:
    """Whether something else than a link to that unit of ours has the alias's name."""
    if alias.is_symlink():
        return alias.readlink().name != unit
    return alias.exists()


def _is_ours(path: Path) -> bool:
    with suppress(OSError):
        return path.read_text().startswith(MARK)
    return False


def _make_home(home: Path, deployment: Deployment, account: ServiceAccount) -> None:
    """Make the data folder of an account.

    Raises:
        ConfigurationError: the account cannot run this program.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (home, home / "prefect", home / "prefect" / "auth"):
        if path.exists():
            os.chown(path, account.uid, account.gid)
    if not can_run([deployment.python, "-c", "import anime.cli.app"], account):
        raise ConfigurationError(
            f"The account {account.name} cannot run {deployment.python} with {deployment.project}.",
            "Install the project and its Python where others may read them, such as below /opt.",
        )


def _field_of(variable: str) -> str:
    return variable.removeprefix("ANIME_").lower()


def _user_units() -> Path:
    import platformdirs

    return platformdirs.user_config_path("systemd") / "user"
