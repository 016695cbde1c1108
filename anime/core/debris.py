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
    *("Thumbs.db", "Thumbs.db:*", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
    *(".nfs*", ".smbdelete*", ".fuse_hidden*", "*@SynoEAStream", "*@SynoResource"),
)
_WILD = re.compile(rb"[*?\[]")


class Debris:
    """Names of files and folders that are passed over, whatever is in them; in any case."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """`patterns`, as a shell knows them, are passed over beside what everybody does."""
        names: set[bytes] = set()
        begins: set[bytes] = set()
        ends: set[bytes] = set()
        others: set[str] = set()
        for pattern in {each.lower() for each in (*DEBRIS, *patterns)}:
            raw = pattern.encode("utf-8", "surrogateescape")
            if not _WILD.search(raw):
                names.add(raw)
            elif not _WILD.search(raw[:-1]) and raw.endswith(b"*"):
                begins.add(raw[:-1])
            elif not _WILD.search(raw[1:]) and raw.startswith(b"*"):
                ends.add(raw[1:])
            else:
                others.add(translate(pattern))
        self._names, self._begins, self._ends = names, tuple(begins), tuple(ends)
        # For few patterns: over all of them it takes as long as all else that is asked of a name.
        self._matches = re.compile("|".join(others).encode()).match if others else None

    def __contains__(self, name: str | bytes) -> bool:
        """Whether a file or folder of that name is passed over.

        >>> "@eaDir" in Debris(), "._a.png" in Debris(), "a.png" in Debris()
        (True, True, False)
        >>> b"old_a.png" in Debris(["old_*"])
        True
        """
        raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
        raw = raw.lower()
        if raw in self._names or raw.startswith(self._begins) or raw.endswith(self._ends):
            return True
        return self._matches is not None and self._matches(raw) is not None


USUAL_DEBRIS = Debris()
