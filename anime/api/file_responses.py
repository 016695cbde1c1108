"""Files as answers: whole, in parts, or 304 when they have not changed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from anime.api.problems import problem_of
from anime.assets.folder_reader import FoundFile
from anime.errors import RangeNotSatisfiable

PICTURE_HEADERS = {
    # Prefect's pages, on another port, show these files with <img>.
    "Cross-Origin-Resource-Policy": "cross-origin",
    # Whatever a file holds: no script in it ever runs here.
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",  # ask, and get 304
}
# A thumbnail may be drawn anew, if seldom: who scrolls through thousands asks once an hour.
KEPT = {"Cache-Control": "private, max-age=3600"}
_HEADERS_OF_304 = ("etag", "last-modified", "cache-control", "cross-origin-resource-policy")


def send_file(
    file: FoundFile,
    request: Request,
    *,
    media_type: str,
    filename: str,
    etag: str | None = None,
) -> Response:
    """The file, or the part that the request asks for; 304 if the browser has it already.

    Without an `etag`, one is made of the file's size and time.
    """
    response = _LibraryFile(
        file.path,
        media_type=media_type,
        filename=filename,
        content_disposition_type="inline",
        stat_result=file.status,
        headers=PICTURE_HEADERS | ({"ETag": f'"{etag}"'} if etag else {}),
    )
    if is_unchanged(request.headers, response.headers):
        headers = {name: response.headers[name] for name in _HEADERS_OF_304}
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return response


def send_kept(content: bytes, request: Request, *, etag: str) -> Response:
    """A small WEBP, which the browser need not ask for again within the hour; or 304."""
    headers = PICTURE_HEADERS | KEPT | {"ETag": f'"{etag}"', "Content-Disposition": "inline"}
    if is_unchanged(request.headers, {"etag": headers["ETag"]}):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(content, media_type="image/webp", headers=headers)


def is_unchanged(request: Mapping[str, str], response: Mapping[str, str]) -> bool:
    """Whether the browser has what would be sent, by both headers (RFC 9110, 13.2.2)."""
    if (tags := request.get("if-none-match")) is not None:
        known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return "*" in known or response["etag"] in known
    since = _moment(request.get("if-modified-since"))
    changed = _moment(response.get("last-modified"))
    return since is not None and changed is not None and changed <= since


class _LibraryFile(FileResponse):
    """A file whose errors are problem documents."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file or a part of it, or 416 if it does not have that part."""
        is_refused = False

        async def send_or_refuse(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start":
                is_refused = message["status"] >= HTTPStatus.BAD_REQUEST
            if not is_refused:
                await send(message)

        await super().__call__(scope, receive, send_or_refuse)
        if is_refused:
            length = self.headers["content-length"]
            problem = problem_of(
                RangeNotSatisfiable(
                    f"The file has {length} bytes; Range asks for others.",
                    "Send Range: bytes=FIRST-LAST, counted from 0.",
                ),
                scope["path"],
            )
            problem.headers["Content-Range"] = f"bytes */{length}"
            await problem(scope, receive, send)


def _moment(header: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment  # of -0000
