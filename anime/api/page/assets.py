"""Scripts, styles and words of the page, as browsers load them."""

import gzip
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Self

from starlette.requests import Request
from starlette.responses import Response

from anime.api.problems import problem_of
from anime.errors import NotFound

FOLDER = "/page/assets"
_HERE = Path(str(files("anime.api.page")))
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, compressed once."""

    plain: bytes
    compressed: bytes
    media_type: str
    etag: str


class PageFiles:
    """All files that the page loads, in memory; made small when the first is asked for."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    @cached_property
    def _files(self) -> dict[str, PageFile]:
        return {name: _page_file(name, content) for name, content in self._contents.items()}

    @cached_property
    def version(self) -> str:
        """A hash of all files, in their folder's address.

        So each may be kept for ever, and modules that import each other by relative addresses are
        of one version.
        """
        etags = "".join(f"{name} {self._files[name].etag}\n" for name in sorted(self._contents))
        return sha256(etags.encode()).hexdigest()[:12]

    @classmethod
    def of_this_package(cls) -> Self:
        """The files of `static/`, and those of `words/` as `words-LANGUAGE.json`."""
        static = {path.name: path.read_bytes() for path in (_HERE / "static").iterdir()}
        words = {
            f"words-{path.name}": path.read_bytes() for path in (_HERE / "words").glob("*.json")
        }
        return cls(static | words)

    def address(self, name: str) -> str:
        """Where the browser finds the file. Raises KeyError: there is none of that name."""
        self._files[name]  # a slip in a template is seen when it is rendered
        return f"{FOLDER}/{self.version}/{name}"

    @property
    def compressed_bytes(self) -> dict[str, int]:
        """How many bytes of each file go over the network."""
        return {name: len(asset.compressed) for name, asset in self._files.items()}

    async def send(self, request: Request) -> Response:
        """A route's answer: the file, or 304; 404 if there is none of that name."""
        asset = self._files.get(request.path_params["name"])
        if asset is None:
            return problem_of(
                NotFound("The page has no such file.", "Load the page anew."), request.url.path
            )
        is_of_this_version = request.path_params.get("version") == self.version
        headers = {
            "Cache-Control": f"public, max-age={_YEAR}, immutable"
            if is_of_this_version
            else "no-cache",
            "ETag": f'"{asset.etag}"',
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(asset.plain, media_type=asset.media_type, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, media_type=asset.media_type, headers=headers)


def _page_file(name: str, content: bytes) -> PageFile:
    if Path(name).suffix in {".css", ".js"}:
        import minify  # starts Go's threads, which a process that is forked later would miss

        content = minify.string(_TYPES[Path(name).suffix].split(";")[0], content.decode()).encode()
    return PageFile(
        plain=content,
        compressed=gzip.compress(content, 9, mtime=0),
        media_type=_TYPES[Path(name).suffix],
        etag=sha256(content).hexdigest()[:16],
    )
