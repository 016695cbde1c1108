"""A lock file that tells whether the process which made it lives.

The kernel releases the lock when the process ends, however it ends: what says so is no clock, which
may be stepped, and no process id, which means another process in another container and after a
restart. The folder is what both sides share. https://man7.org/linux/man-pages/man2/flock.2.html
"""

import fcntl
import os
from pathlib import Path


def acquire_lock(path: Path) -> int:
    """The descriptor that holds the lock until it is closed, or its process ends.

    It waits while another process looks whether the lock is held, which is for no time at all.

    Raises:
        OSError: the file cannot be made, or its file system knows no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # no program we start inherits it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock; None when there is no such file, which tells nothing."""
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
