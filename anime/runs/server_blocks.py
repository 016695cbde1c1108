"""The blocks of the ComfyUI servers in Prefect, and the registry, which follow each other."""

import logging
from collections.abc import Sequence

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from anime.core.servers import NewServer, ServerRecord, block_name_of
from anime.errors import AlreadyExists, InvalidRequest, NotFound
from anime.jobs.servers.registry import ServerRegistry, connect_registry
from anime.settings import get_settings
from blocks.registered_server import RegisteredComfyUI
from tasks.retries import best_effort

_log = logging.getLogger(__name__)


# Twice is harmless, also at once: what is taken up already is no change any more.
@best_effort()
async def update_server_blocks() -> None:
    """Take up what people changed in blocks, then let each server have a block that says how it is.

    Raises nothing: it shows, and the next step of the monitor does it again.
    """
    async with connect_registry(get_settings()) as registry:
        documents = await _documents()
        for document in documents:
            await _take_up(document, registry)
        await _write_all(await registry.list_all(), documents)


async def _documents() -> Sequence[BlockDocument]:
    """The blocks of our type; none before there is such a type."""
    async with get_client() as client:
        try:
            slug = RegisteredComfyUI.get_block_type_slug()
            return await client.read_block_documents_by_type(slug)
        except ObjectNotFound:
            return ()


async def _take_up(document: BlockDocument, registry: ServerRegistry) -> None:
    """Do to the registry what a person did to the block; what cannot be done is said in the log."""
    try:
        block = RegisteredComfyUI.model_validate(document.data)
        before, now = block.as_registered, block.form
        if before is None:
            await _add(str(document.name), block, registry)
        elif now.labels != before.labels:
            new = NewServer(url=before.url, labels=list(now.labels))
            await registry.label(before.url, new.labels)
        if before is not None and now.is_drained != before.is_drained:
            change = registry.drain if now.is_drained else registry.resume
            await change(before.url)
    except (InvalidRequest, NotFound, ValidationError) as fault:
        _log.warning("What block %s says is not taken up: %s", document.name, fault)


async def _add(name: str, block: RegisteredComfyUI, registry: ServerRegistry) -> None:
    """Register the server of a block that a person has made, unless it is known."""
    try:
        await registry.add(NewServer(url=block.url, name=name, labels=block.labels))
    except AlreadyExists:
        return
    if block.is_drained:
        await registry.drain(name)


async def _write_all(servers: Sequence[ServerRecord], documents: Sequence[BlockDocument]) -> None:
    """Write blocks that are missing or say something else; remove those of no server."""
    by_name = {str(document.name): document for document in documents}
    names = {block_name_of(server.name): server for server in servers}
    for name, server in names.items():
        if name not in by_name or not _says(by_name[name], server):
            await RegisteredComfyUI.of(server).asave(name, overwrite=True)
    async with get_client() as client:
        for name in by_name.keys() - names.keys():
            await client.delete_block_document(by_name[name].id)


def _says(document: BlockDocument, server: ServerRecord) -> bool:
    """Whether the block says what the registry says."""
    try:
        block = RegisteredComfyUI.model_validate(document.data)
    except ValidationError:
        return False
    return block.form == block.as_registered == server.form
