"""A lock file that shows whether the process that made it is still running.

The kernel releases the lock when the process ends, however it ends. A clock may be stepped, and a
process id means another process in another container or after a restart; the folder is the same
for both sides. https://man7.org/linux/man-pages/man2/flock.2.html
"""

import fcntl
import os
from pathlib import Path


def acquire_lock(path: Path) -> int:
    """The descriptor that holds the lock until it is closed, or its process ends.

    It waits only while another process checks whether the lock is held.

    Raises:
        OSError: the file cannot be made, or its file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # child processes do not inherit it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock; None, for unknown, when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)
