"""Whether a result can be made and kept, looked at before any GPU time is spent."""

import time

from prefect import task
from prefect.cache_policies import NO_CACHE

from anime.assets.store import AssetStore
from anime.comfyui.client import ComfyUIClient
from anime.core.job_status import Stage
from anime.errors import ComfyUIUnreachable
from anime.retry_policies import COMFYUI_CHECK
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter


# Not retried: it waits for the server itself, and a folder that cannot be written is for a
# person to mend.
@task(name="check services", cache_policy=NO_CACHE)
async def check_services(
    library: AssetStore, comfy: ComfyUIClient, server: ComfyUIServer, *, reporter: Reporter
) -> str:
    """The version of ComfyUI, once it answers; the library can take files.

    Raises:
        StorageError: the library is missing, not writable or full.
        ComfyUIUnreachable: the server did not answer for as long as the block allows.
    """
    await library.check()
    give_up_at = time.monotonic() + server.unreachable_timeout_seconds
    while True:
        try:
            return (await comfy.system_stats()).comfyui_version
        except ComfyUIUnreachable as fault:
            if time.monotonic() >= give_up_at:
                raise
            await reporter.enter(Stage.CHECKING_VRAM, f"Waiting for ComfyUI: {fault.what}")
            await COMFYUI_CHECK.wait()
