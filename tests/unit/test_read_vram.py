"""Who is asked how much VRAM there is. NVML is replaced: it cannot be had without a GPU."""

from types import SimpleNamespace

import httpx
import pytest
from pynvml import NVML_ERROR_NOT_SUPPORTED, NVMLError

from anime.comfyui import nvml
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.nvml import GpuMemory, gpu_of_process, read_gpu
from anime.core.vram import FreedMemory
from tasks import vram
from tasks.vram import read_vram

MB = 1024 * 1024


def server(url: str, *devices: dict[str, object]) -> ComfyUIClient:
    stats = {"system": {"comfyui_version": "0.3.64"}, "devices": devices}
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
    monkeypatch.setattr(vram, "read_gpu", lambda *_: GpuMemory("H200", 24_100, 8_000))


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
    monkeypatch.setattr(vram, "read_gpu", lambda *_: None)
    reading = await read_vram(server("http://127.0.0.1:8188", cuda()))
    assert reading.source == "system_stats"


def test_the_real_library_without_a_gpu_says_nothing() -> None:
    assert read_gpu(4_096, 8188) is None


async def test_what_the_driver_says_of_comfyuis_own_process_is_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []

    def read(index: int, port: int) -> GpuMemory:
        asked.append((index, port))
        return GpuMemory("H200", 24_100, 8_000, held_mb=15_485)

    monkeypatch.setattr(vram, "read_gpu", read)
    reading = await read_vram(server("http://127.0.0.1:8190", cuda()))
    assert (reading.held_by_comfyui_mb, reading.available_mb) == (15_485, 23_485)
    assert reading.is_exact
    assert asked == [(0, 8190)]


@pytest.mark.parametrize(("submitted", "held_mb"), [(True, 6_500), (False, 5_000)])
async def test_what_free_gave_back_counts_only_if_something_ran_since(
    submitted: bool, held_mb: int
) -> None:
    comfy = server("http://gpu-box:8188", cuda())
    comfy.facts.freed = FreedMemory(given_back_mb=6_500, free_after_mb=16_000)
    comfy.facts.may_hold_models = submitted
    assert (await read_vram(comfy)).held_by_comfyui_mb == held_mb


async def test_of_several_devices_the_first_is_the_one_that_renders() -> None:
    reading = await read_vram(server("http://gpu-box:8188", cuda(24_000), cuda(80_000)))
    assert reading.total_mb == 24_000


@pytest.mark.parametrize(
    ("cards", "pids", "expected"),
    [
        ([{}, {7: 500}], {7}, 1),  # CUDA_VISIBLE_DEVICES numbers the cards anew
        ([{7: 500, 8: 20}, {}], {7, 8}, 0),
        ([{7: 500}, {7: 6_000}], {7}, 0),  # one process on both: the server's own number counts
        ([{9: 500}, {}], set(), None),
        ([{9: 500}, {}], {7}, None),
    ],
)
def test_the_card_is_the_one_that_comfyuis_process_has_memory_on(
    cards: list[dict[int, int]], pids: set[int], expected: int | None
) -> None:
    gpus = [GpuMemory(str(at), 24_000, 9_000, by_pid=held) for at, held in enumerate(cards)]
    found = gpu_of_process(gpus, 0, pids)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.name, found.held_mb) == (
            str(expected),
            sum(mb for pid, mb in cards[expected].items() if pid in pids),
        )


class Driver:
    """NVML with one card, as the real library answers."""

    def __init__(self, processes: dict[int, int | None]) -> None:
        self._processes = processes

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        named = SimpleNamespace
        memory = named(total=24_000 * MB, free=9_000 * MB)
        processes = [
            named(pid=pid, usedGpuMemory=None if mb is None else mb * MB)
            for pid, mb in self._processes.items()
        ]
        for name, answer in {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetMemoryInfo": memory,
            "nvmlDeviceGetName": "H200",
            "nvmlDeviceGetComputeRunningProcesses": processes,
        }.items():
            monkeypatch.setattr(f"anime.comfyui.nvml.pynvml.{name}", lambda *_, a=answer: a)


def test_a_process_is_comfyui_if_it_listens_on_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver({11: 7_466, 12: 900, 13: None}).install(monkeypatch)
    monkeypatch.setattr(nvml, "listens_on", lambda pid, port: (pid, port) == (11, 8188))
    gpu = read_gpu(0, 8188)
    assert gpu is not None
    assert (gpu.total_mb, gpu.free_mb, gpu.held_mb) == (24_000, 9_000, 7_466)


def test_a_card_whose_processes_are_not_comfyuis_is_found_by_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Driver({12: 900, 13: None}).install(monkeypatch)
    monkeypatch.setattr(nvml, "listens_on", lambda *_: False)
    gpu = read_gpu(0, 8188)
    assert gpu is not None
    assert gpu.held_mb is None
    assert read_gpu(1, 8188) is None


def test_a_driver_that_names_no_processes_still_says_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Driver({}).install(monkeypatch)
    monkeypatch.setattr(
        "anime.comfyui.nvml.pynvml.nvmlDeviceGetComputeRunningProcesses", not_supported
    )
    gpu = read_gpu(0, 8188)
    assert gpu is not None
    assert (gpu.free_mb, gpu.held_mb) == (9_000, None)


async def test_a_card_that_the_driver_cannot_read_is_left_to_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Driver({}).install(monkeypatch)
    monkeypatch.setattr("anime.comfyui.nvml.pynvml.nvmlDeviceGetMemoryInfo", not_supported)
    reading = await read_vram(server("http://127.0.0.1:8188", cuda()))
    assert reading.source == "system_stats"


def not_supported(_handle: object) -> None:
    raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
