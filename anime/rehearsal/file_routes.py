"""The routes about files: /view and /upload/image."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from anime.rehearsal.folders import inside, split_annotation, store_upload
from anime.rehearsal.replies import empty_reply, errors_as_500, json_reply

DEFAULT_QUALITY = 90  # of previews, in percent


class FileRoutes:
    """Endpoints of the three folders."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def routes(self) -> Sequence[BaseRoute]:
        """Every path with its method."""
        return (
            Route("/view", errors_as_500(self.view), methods=["GET"]),
            Route("/upload/image", errors_as_500(self.upload), methods=["POST"]),
        )

    async def view(self, request: Request) -> Response:
        """The bytes of a file, or a preview of it."""
        query = request.query_params
        if "filename" not in query:
            return empty_reply(404)
        name, folder = split_annotation(query["filename"], query.get("type", "output"))
        if not name or name.startswith("/") or ".." in name or folder not in self._folders:
            return empty_reply(400)
        parent = inside(self._folders[folder], query.get("subfolder", ""))
        if parent is None:
            return empty_reply(403)
        path = parent / name.rpartition("/")[2]
        if not path.is_file():
            return empty_reply(404)
        named = {"Content-Disposition": f'filename="{path.name}"'} if path.name.isascii() else None
        if "preview" not in query:
            return FileResponse(path, headers=named)
        reply = await asyncio.to_thread(preview_reply, path, query["preview"])
        reply.headers.update(named or {})
        return reply

    async def upload(self, request: Request) -> Response:
        """Store an input picture; the answer has its name. The content is not checked."""
        async with request.form() as form:
            file = form.get("image")
            if not isinstance(file, UploadFile) or not file.filename:
                return empty_reply(400)
            kind, subfolder = str(form.get("type", "input")), str(form.get("subfolder", ""))
            root = self._folders[kind]
            folder = inside(root, subfolder)
            if folder is None or inside(folder, file.filename) != folder / file.filename:
                return empty_reply(400)
            overwrite = form.get("overwrite") in ("true", "1")
            content = await file.read()
            name = await asyncio.to_thread(
                store_upload, folder, file.filename, content, overwrite=overwrite
            )
        return json_reply({"name": name, "subfolder": subfolder, "type": kind})


def preview_reply(path: Path, wanted: str) -> Response:
    """The picture in another encoding: `webp;50` is a format and a quality in percent."""
    kind, _, quality = wanted.partition(";")
    kind = kind if kind in ("webp", "jpeg") else "webp"
    percent = int(quality) if quality.isdigit() else DEFAULT_QUALITY
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        fitting = picture.convert("RGB") if kind == "jpeg" else picture
        fitting.save(buffer, kind.upper(), quality=percent)
    return Response(buffer.getvalue(), media_type=f"image/{kind}")
