"""What has become of a recorded file."""

from enum import StrEnum


class FileState(StrEnum):
    """What the last look at a row's file has shown. A row is never deleted."""

    PRESENT = "present"  # it lies where its row says, as it was written down
    MISSING = "missing"  # nothing lies there
    ALTERED = "altered"  # something else lies there: its size or its hash is another
