"""What NAS and operating systems leave in shared folders: nobody's pictures.

Sources: Synology DSM (`@eaDir`, `#recycle`, `#snapshot`, `@tmp`), QNAP QTS (`@Recycle`,
`.@__thumb`), NetApp and FreeNAS snapshots, Windows, macOS, freedesktop.org's trash specification,
NFS, SMB and FUSE clients.
"""

import re
from collections.abc import Iterable
from fnmatch import translate

DEBRIS = (
    *("@eaDir", "@Recycle", "@Recently-Snapshot", "@tmp", "@sharebin", "@__thumb", ".@__thumb"),
    *("#recycle", "#snapshot", "~snapshot", ".snapshot", ".snapshots", ".zfs", "lost+found"),
    *("$RECYCLE.BIN", "RECYCLER", "RECYCLED", "System Volume Information"),
    *(".Trash", ".Trash-*", ".Trashes", ".recycle", ".Recycle.Bin"),
    *("._*", ".AppleDouble", ".AppleDB", ".AppleDesktop", "Network Trash Folder"),
    *("Temporary Items", ".TemporaryItems", ".DS_Store", ".Spotlight-V100", ".fseventsd"),
    *("__MACOSX", ".DocumentRevisions-V100"),
    *("Thumbs.db", "Thumbs.db:*", "ehthumbs*.db", "desktop.ini"),
    *(".nfs*", ".smbdelete*", ".fuse_hidden*", "*@SynoEAStream", "*@SynoResource"),
)


class Debris:
    """Names of files and folders that are passed over, whatever is in them; in any case."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """`patterns`, as a shell knows them, are passed over beside what everybody does."""
        wanted = "|".join(translate(each.lower()) for each in (*DEBRIS, *patterns))
        self._matches = re.compile(wanted.encode()).match

    def __contains__(self, name: str | bytes) -> bool:
        """Whether a file or folder of that name is passed over.

        >>> "@eaDir" in Debris(), "._a.png" in Debris(), "a.png" in Debris()
        (True, True, False)
        >>> b"old_a.png" in Debris(["old_*"])
        True
        """
        raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
        return self._matches(raw.lower()) is not None


USUAL_DEBRIS = Debris()
