"""The pages of a contact sheet on disk: one in memory at a time, and none under its name by half.

All of it blocks: call it in a thread.
"""

import tempfile
from pathlib import Path
from typing import Self

from PIL import Image

from anime.assets.store import draft_in, link_or_copy
from anime.core.sheet_pages import page_path
from anime.errors import InvalidRequest, StorageError

_PDF_DPI = 150
_JPEG_QUALITY = 88


class SheetWriter:
    """A contact sheet that is being written, to be used in `with`.

    Its pages have temporary names in the target's folder until `bind` gives them theirs.
    """

    _folder: "tempfile.TemporaryDirectory[str]"  # in `with`

    def __init__(self, target: Path, *, replaces: bool = False) -> None:
        """`target` ends in .png, for a file a page, or in .pdf, for one file.

        `replaces`: an earlier sheet of that name was of the same order, and gives way.
        """
        self._target = target
        self._replaces = replaces
        self._pages = 0

    def __enter__(self) -> Self:
        if self._target.suffix.lower() not in {".png", ".pdf"}:
            raise InvalidRequest(
                f"{self._target.name} is no name for a contact sheet.",
                "Let it end in .png or .pdf.",
            )
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(dir=self._target.parent, prefix=".sheet-")
        except OSError as fault:
            raise self._error(fault) from fault
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, page: Image.Image) -> None:
        """Write one more page.

        Raises:
            StorageError: the folder cannot take it.
        """
        self._pages += 1
        try:
            if self._is_pdf:
                # Appended, as Pillow would otherwise want all pages at once.
                page.save(
                    self._draft(1),
                    "PDF",
                    append=self._pages > 1,
                    resolution=_PDF_DPI,
                    quality=_JPEG_QUALITY,
                )
            else:
                page.save(self._draft(self._pages), "PNG")
        except OSError as fault:
            raise self._error(fault) from fault

    def bind(self) -> list[Path]:
        """The pages, each in its place now.

        Raises:
            InvalidRequest: a name is taken; nothing is overwritten and no page is left there.
            StorageError: the folder cannot take them.
        """
        bound: list[Path] = []
        try:
            for number, place in enumerate(self.paths, start=1):
                if self._replaces:
                    self._draft(number).replace(place)
                else:
                    self._draft(number).chmod(0o644)
                    link_or_copy(self._draft(number), place)
                    bound.append(place)
        except OSError as fault:
            for place in bound:
                place.unlink(missing_ok=True)
            if isinstance(fault, FileExistsError):
                raise InvalidRequest(
                    f"{fault.filename2 or fault.filename} exists.", "Give another name."
                ) from fault
            raise self._error(fault) from fault
        return self.paths

    @property
    def paths(self) -> list[Path]:
        """Where the pages go."""
        files = min(self._pages, 1) if self._is_pdf else self._pages
        return [Path(page_path(self._target, number)) for number in range(1, files + 1)]

    @property
    def _is_pdf(self) -> bool:
        return self._target.suffix.lower() == ".pdf"

    def _draft(self, number: int) -> Path:
        return Path(self._folder.name) / f"{number}{self._target.suffix.lower()}"

    def _error(self, fault: OSError) -> StorageError:
        return StorageError(
            f"The contact sheet {self._target} cannot be written: {fault.strerror or fault}.",
            "Free some space there, or give another folder.",
        )


def replace_file(page: Image.Image, target: Path) -> None:
    """Write the page as PNG in place of an earlier one of that name.

    Raises:
        OSError: the folder cannot take it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft_in(target.parent) as draft:
        page.save(draft, "PNG")
        draft.chmod(0o644)
        draft.replace(target)
