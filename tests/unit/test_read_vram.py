"""Who is asked how much VRAM there is. NVML is replaced: it cannot be had without a GPU."""

import httpx
import pytest

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.nvml import GpuMemory, read_gpu
from tasks import vram
from tasks.vram import read_vram

MB = 1024 * 1024


def server(url: str, device: dict[str, object]) -> ComfyUIClient:
    stats = {"system": {"comfyui_version": "0.3.64"}, "devices": [device]}
    answers = httpx.MockTransport(lambda _request: httpx.Response(200, json=stats))
    return ComfyUIClient(url, transport=answers)


def cuda(total_mb: int = 24_000) -> dict[str, object]:
    return {
        "name": "cuda:0",
        "type": "cuda",
        "index": 0,
        "vram_total": total_mb * MB,
        "vram_free": 9_000 * MB,
        "torch_vram_total": 6_000 * MB,
        "torch_vram_free": 1_000 * MB,
    }


@pytest.fixture
def local_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vram, "read_gpu", lambda _index: GpuMemory("H200", 24_100, 8_000))


@pytest.mark.usefixtures("local_gpu")
async def test_a_gpu_in_this_machine_is_read_from_the_driver() -> None:
    reading = await read_vram(server("http://127.0.0.1:8188", cuda()))
    assert (reading.source, reading.total_mb, reading.free_mb) == ("nvml", 24_100, 8_000)
    assert reading.held_by_comfyui_mb == 6_000


@pytest.mark.usefixtures("local_gpu")
async def test_a_server_elsewhere_is_asked_itself() -> None:
    reading = await read_vram(server("http://gpu-box:8188", cuda()))
    assert (reading.source, reading.free_mb) == ("system_stats", 9_000)
    assert reading.held_by_comfyui_mb == 5_000


@pytest.mark.usefixtures("local_gpu")
async def test_a_card_of_another_size_is_not_the_servers() -> None:
    reading = await read_vram(server("http://127.0.0.1:8188", cuda(total_mb=80_000)))
    assert reading.source == "system_stats"


async def test_a_machine_without_a_driver_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vram, "read_gpu", lambda _index: None)
    reading = await read_vram(server("http://127.0.0.1:8188", cuda()))
    assert reading.source == "system_stats"


def test_the_real_library_without_a_gpu_says_nothing() -> None:
    assert read_gpu(4_096) is None
