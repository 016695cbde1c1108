"""Waiting for VRAM, at a server whose memory does as the test says, one look after another."""

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.nvml import GpuMemory
from anime.core.vram import FreedMemory
from anime.errors import InsufficientVram
from anime.progress.publisher import ProgressPublisher
from anime.retry_policies import RetryPolicy
from anime.schemas import ProgressEvent
from tasks import vram
from tasks.progress import Reporter
from tasks.vram import wait_for_vram
from tests.support.waiting import HUNG_SECONDS

MB = 2**20
TOTAL_MB = 11_673  # of 12 GB, as CUDA counts them
LOADED_MB, EMPTY_MB = 4_207, 10_843  # free with SDXL in dynamic memory, and after /free


class Listener(ProgressPublisher):
    """Keeps what is published."""

    def __init__(self) -> None:
        super().__init__(None)
        self.said: list[str] = []

    async def publish(self, event: ProgressEvent) -> None:
        self.said.append(event.message)


class Server:
    """A ComfyUI elsewhere; `free_mb` says what is free at each look, `busy` whether it renders."""

    def __init__(
        self,
        free_mb: Callable[["Server"], int],
        busy: Callable[["Server"], bool] = lambda _: False,
    ) -> None:
        self._free_mb = free_mb
        self._busy = busy
        self.looks = 0
        self.freed_at: list[int] = []
        self.asked: list[str] = []
        transport = httpx.MockTransport(self._answer)
        self.comfy = ComfyUIClient("http://gpu-box:8188", transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        match request.url.path:
            case "/system_stats":
                self.looks += 1
                device = {
                    "type": "cuda",
                    "index": 0,
                    "vram_total": TOTAL_MB * MB,
                    "vram_free": self._free_mb(self) * MB,
                    "torch_vram_total": 64 * MB,
                    "torch_vram_free": 64 * MB,
                }
                return httpx.Response(200, json={"system": {}, "devices": [device]})
            case "/queue":
                running = [[1, "another", {}, {}, []]] if self._busy(self) else []
                return httpx.Response(200, json={"queue_running": running, "queue_pending": []})
            case "/free":
                self.freed_at.append(self.looks)
                return httpx.Response(200)
        return httpx.Response(404)

    async def wait(self, need_mb: int = 8_000, wait_seconds: float = 5) -> list[str]:
        """What was said meanwhile, and last why it can run."""
        listener = Listener()
        reporter = Reporter(listener, uuid4())
        reason = await wait_for_vram(
            self.comfy, need_mb, wait_seconds=wait_seconds, reporter=reporter
        )
        return [*listener.said, reason]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vram, "VRAM_CHECK", RetryPolicy(first_seconds=0, longest_seconds=0))


def loaded_until_freed(server: Server) -> int:
    return EMPTY_MB if server.freed_at else LOADED_MB


async def test_what_a_server_elsewhere_has_loaded_is_freed_once_and_then_known() -> None:
    server = Server(loaded_until_freed)
    assert "10843 of 11673 MB of VRAM available" in (await server.wait())[-1]
    assert server.comfy.facts.freed == FreedMemory(EMPTY_MB - LOADED_MB, EMPTY_MB)

    server.comfy.facts.note_prompt()  # it has loaded it again
    again = Server(lambda _: LOADED_MB)
    assert "10843 of 11673 MB of VRAM available" in (await again.wait())[-1]
    assert again.asked == ["GET /system_stats"]


async def test_what_the_preflight_was_told_counts_until_a_prompt_is_submitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vram, "_PREFLIGHT_SECONDS", HUNG_SECONDS)
    server = Server(lambda _: EMPTY_MB)
    await server.comfy.system_stats()
    await server.wait()
    assert server.asked == ["GET /system_stats"]
    server.comfy.facts.note_prompt()
    await server.wait()
    assert server.asked == ["GET /system_stats"] * 2


async def test_whoever_waits_for_memory_looks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vram, "_PREFLIGHT_SECONDS", HUNG_SECONDS)
    server = Server(lambda asked: EMPTY_MB if asked.looks > 1 else LOADED_MB)
    server.comfy.facts.note_free()
    await server.comfy.system_stats()
    assert "VRAM available" in (await server.wait())[-1]
    assert server.looks == 2


async def test_what_comfyuis_process_holds_is_neither_freed_nor_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = GpuMemory("12 GB", 12_288, 4_207, held_mb=7_466)
    monkeypatch.setattr(vram, "read_gpu", lambda *_: gpu)
    server = Server(lambda _: LOADED_MB)
    server.comfy = ComfyUIClient(
        "http://127.0.0.1:8188", transport=httpx.MockTransport(server._answer)
    )
    assert "11673 of 12288 MB of VRAM available" in (await server.wait())[-1]
    assert server.asked == ["GET /system_stats"]


async def test_others_memory_is_waited_for_without_freeing_what_the_driver_calls_comfyuis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = iter([2_000, 2_000, 9_000])
    monkeypatch.setattr(
        vram, "read_gpu", lambda *_: GpuMemory("12 GB", 12_288, next(looks), held_mb=526)
    )
    server = Server(lambda _: LOADED_MB)
    server.comfy = ComfyUIClient(
        "http://127.0.0.1:8188", transport=httpx.MockTransport(server._answer)
    )
    said = await server.wait()
    assert said[:-1] == ["Waiting for 5474 MB of VRAM: 8000 MB needed, 2526 of 12288 MB available."]
    assert server.asked == ["GET /system_stats"] * 3


async def test_while_it_renders_nothing_is_freed_as_it_could_not_be_measured() -> None:
    server = Server(loaded_until_freed, busy=lambda server: server.looks < 4)
    await server.wait()
    assert server.freed_at == [4]
    assert server.comfy.facts.freed == FreedMemory(EMPTY_MB - LOADED_MB, EMPTY_MB)


async def test_memory_that_comes_back_much_later_is_not_taken_for_comfyuis() -> None:
    server = Server(lambda server: 9_000 if server.looks > 8 else 2_000)
    await server.wait()
    assert server.freed_at == [1]
    assert server.comfy.facts.freed is None


async def test_two_that_wait_do_not_both_free() -> None:
    server = Server(lambda server: 9_000 if server.looks > 8 else 2_000)
    server.comfy.facts.note_free()  # the other has just now
    await server.wait()
    assert server.freed_at == []


async def test_a_card_that_stays_full_is_an_error_in_the_time_given() -> None:
    server = Server(lambda _: 2_000)
    with pytest.raises(InsufficientVram) as caught:
        await server.wait(wait_seconds=0)
    assert "Waiting for 6000 MB" in caught.value.what


async def test_a_server_that_rendered_all_the_while_is_not_blamed_for_its_own_memory() -> None:
    server = Server(lambda _: LOADED_MB, busy=lambda _: True)
    [*_, reason] = await server.wait(wait_seconds=0)
    assert "not checked" in reason
    assert server.freed_at == []
