"""The client against a server on a real port that dies, hangs or refuses."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import pytest

from anime.comfyui.client import ComfyUIClient
from anime.core.prompt_state import Running
from anime.errors import ComfyUIError, ComfyUIUnreachable, ConfigurationError
from tests.integration.comfyui_peer import Host, Peer
from tests.support.waiting import HUNG_SECONDS

GRAPH = {"1": {"class_type": "SaveImage", "inputs": {}}}


async def test_nobody_there_is_an_error_that_names_the_address_and_the_setting() -> None:
    host = Host()
    async with ComfyUIClient(host.url) as client:
        with pytest.raises(ComfyUIUnreachable) as caught:
            await client.queue()
    assert host.url in caught.value.what
    assert "ANIME_COMFYUI_URL" in caught.value.todo


async def test_f10_a_submit_that_times_out_after_it_was_taken_can_be_found() -> None:
    host, prompt_id = Host(), uuid4()
    async with host.up(Peer()) as peer, ComfyUIClient(host.url) as client:
        peer.answers_submit = False
        async with ComfyUIClient(host.url, timeout_seconds=1) as impatient:
            with pytest.raises(ComfyUIUnreachable, match="is unknown") as caught:
                await impatient.submit(GRAPH, prompt_id=prompt_id, client_id="client")
        assert "Look for the prompt before sending it again" in caught.value.todo
        await peer.submitted.wait()
        assert [route for route, _ in peer.posts] == ["/prompt"]
        assert await client.find(prompt_id) == Running()


async def test_a_server_that_dies_while_it_takes_a_prompt_leaves_the_outcome_unknown() -> None:
    host, prompt_id = Host(), uuid4()
    async with ComfyUIClient(host.url) as client:
        async with host.up(Peer()) as peer:
            peer.answers_submit = False
            submitting = asyncio.create_task(
                client.submit(GRAPH, prompt_id=prompt_id, client_id="client")
            )
            await peer.submitted.wait()
        with pytest.raises(ComfyUIUnreachable, match="is unknown"):
            await submitting


async def test_a_server_that_came_back_is_spoken_to_over_a_new_connection() -> None:
    host = Host()
    async with ComfyUIClient(host.url) as client:
        for _ in range(2):
            async with host.up(Peer()):
                assert (await client.queue()).running == ()


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    host = Host()
    async with host.up(Peer()), ComfyUIClient(host.url) as client:
        assert (await client.queue()).pending == ()


async def test_an_answer_that_drips_without_an_end_is_given_up() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ComfyUIClient(f"http://127.0.0.1:{port}", timeout_seconds=0.5) as client:
            with pytest.raises(ComfyUIUnreachable, match="within 2 s"):
                async with asyncio.timeout(HUNG_SECONDS):
                    await client.queue()


async def test_something_else_on_the_port_is_no_comfyui() -> None:
    host = Host()
    async with host.up(Peer()), ComfyUIClient(f"{host.url}/elsewhere") as client:
        with pytest.raises(ComfyUIError, match="answered GET /queue with 404"):
            await client.queue()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8188", "ftp://studio", "http://", "http://a:x"])
def test_what_is_no_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ANIME_COMFYUI_URL"):
        ComfyUIClient(url)


def test_messages_do_not_tell_the_password_in_the_url() -> None:
    client = ComfyUIClient("https://artist:secret@studio/comfy/")
    assert client.name == "ComfyUI at https://studio/comfy"
    with pytest.raises(ConfigurationError) as caught:
        ComfyUIClient("http://artist:secret@studio:port")
    assert "secret" not in str(caught.value)
