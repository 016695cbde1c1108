"""Starts a program in place of this process; it ends when its parent does, however that ends.

    python parent_watch.py PARENT_PID SIGNAL UID:GID|- COMMAND …

It runs for some milliseconds between fork and the program, on the standard library alone. A
`preexec_fn` could do the same only as Python code in a forked copy of a threaded process.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
NOT_EXECUTABLE = 127  # what a shell exits with when it cannot start a program


def exec_command(parent_pid: int, death_signal: int, owner: str, command: list[str]) -> None:
    """Replace this process by the command, which gets the signal when the parent dies.

    Raises:
        OSError: the command cannot be started.
    """
    # A shell that starts `anime up &` ignores SIGINT, and all child processes would inherit that:
    # Prefect's worker could then not be stopped.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if owner != "-":
        _switch_user(*map(int, owner.split(":")))
    if sys.platform == "linux":
        # After the change of user, which would clear it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent_pid:  # the parent died before the signal was set
            sys.exit(NOT_EXECUTABLE)
    os.execv(command[0], command)  # noqa: S606  this is what it is for


def _switch_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


if __name__ == "__main__":
    parent, number, user, *rest = sys.argv[1:]
    try:
        exec_command(int(parent), int(number), user, rest)
    except OSError as fault:
        print(f"{rest[0]} cannot be started: {fault.strerror}.", file=sys.stderr)  # noqa: T201  the log is all there is
        sys.exit(NOT_EXECUTABLE)
