"""What shares and operating systems leave in folders is told apart from pictures."""

import pytest

from anime.core.debris import Debris

LEFT_BEHIND = [
    *("@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "$Recycle.Bin", "lost+found"),
    *(".Trash-1000", "._a.png", "Thumbs.db", "thumbs.DB", ".DS_Store", "desktop.ini"),
    *("System Volume Information", "__MACOSX", "@Recycle", ".nfs0000001", "a.png@SynoEAStream"),
]


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_it_is_known_in_any_case_as_text_and_as_bytes(name: str) -> None:
    assert name in Debris()
    assert name.upper().encode() in Debris()


@pytest.mark.parametrize("name", ["a.png", "eaDir", "recycle", "lost", "a._b.png", "\udcff.png"])
def test_pictures_are_not(name: str) -> None:
    assert name not in Debris()


def test_a_studio_names_more() -> None:
    ours = Debris(["old_*", "Proxies"])
    assert all(name in ours for name in ("old_a.png", b"PROXIES", "@eaDir"))
    assert "a_old.png" not in ours
