"""Connection settings of the studio, each with a form in Prefect's UI.

Prefect imports this package through the `prefect.collections` entry point at every start of
its server and command line: it stays light.
"""

from blocks.comfyui import ComfyUIServer
from blocks.database import StudioDatabase
from blocks.library import AssetLibrary
from blocks.redis_server import ProgressRedis
from blocks.registered_server import RegisteredComfyUI
from blocks.vault import StudioVault

__all__ = [
    "AssetLibrary",
    "ComfyUIServer",
    "ProgressRedis",
    "RegisteredComfyUI",
    "StudioDatabase",
    "StudioVault",
]
