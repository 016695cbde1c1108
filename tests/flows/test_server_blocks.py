"""Each ComfyUI server has a block in Prefect, and what is changed in one is taken up."""

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.orchestration import get_client

from anime.core.servers import NewServer, ServerRecord
from anime.jobs.servers.registry import ServerRegistry, connect_registry
from anime.net.vault import RESOLVER
from anime.runs.server_blocks import update_server_blocks
from anime.settings import get_settings
from blocks import AssetLibrary, RegisteredComfyUI, StudioVault
from blocks.studio_blocks import load_blocks
from tests.flows.conftest import RehearsalStudio

A, B = "http://gpu-a:8188", "http://gpu-b:8188"
pytestmark = pytest.mark.usefixtures("studio")


async def blocks() -> dict[str, dict[str, Any]]:  # their JSON
    """All of them, by name, once they are up to date."""
    await update_server_blocks()
    async with get_client() as client:
        slug = RegisteredComfyUI.get_block_type_slug()
        found = await client.read_block_documents_by_type(slug)
    return {str(each.name): each.data for each in found}


async def loaded(name: str) -> RegisteredComfyUI:
    return cast("RegisteredComfyUI", await cast("Any", RegisteredComfyUI.aload(name)))


async def known(registry: ServerRegistry) -> dict[str, ServerRecord]:
    await update_server_blocks()
    return {each.name: each for each in await registry.list_all()}


async def test_the_blocks_follow_the_registry(studio: RehearsalStudio) -> None:
    async with connect_registry(get_settings()) as registry:
        [own] = await blocks()  # of the settings
        assert own == (await registry.get(studio.comfyui_url)).name.replace(".", "-")
        await registry.add(NewServer(url=A, name="gpu.a", labels=["xl"]))
        assert (await blocks())["gpu-a"]["labels"] == ["xl"]
        await registry.drain("gpu.a")
        assert (await blocks())["gpu-a"]["is_drained"] is True
        async with (await loaded("gpu-a")).client() as client:
            assert client.base_url == A
        await registry.remove("gpu.a")
        assert set(await blocks()) == {own}


async def test_a_block_that_says_how_it_is_is_not_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with connect_registry(get_settings()) as registry:
        await registry.add(NewServer(url=A, name="gpu-a", labels=["xl"]))
        await update_server_blocks()
        written = list[str]()

        async def noted(block: RegisteredComfyUI, name: str, *, overwrite: bool) -> None:
            written.append(name)

        monkeypatch.setattr(RegisteredComfyUI, "asave", noted)
        await update_server_blocks()
        assert written == []
        await registry.drain("gpu-a")
        await update_server_blocks()
        assert written == ["gpu-a"]


async def test_what_a_person_changes_in_a_block_is_taken_up() -> None:
    async with connect_registry(get_settings()) as registry:
        await registry.add(NewServer(url=A, name="gpu-a"))
        await update_server_blocks()
        block = await loaded("gpu-a")
        block.is_drained, block.labels = True, ["night"]
        await block.asave("gpu-a", overwrite=True)
        server = (await known(registry))["gpu-a"]
        assert (server.is_drained, server.labels) == (True, ("night",))
        await registry.resume("gpu-a")
        assert (await known(registry))["gpu-a"].is_drained is False, "the later change counts"
        assert (await blocks())["gpu-a"]["labels"] == ["night"]


async def test_a_block_that_a_person_makes_registers_a_server() -> None:
    async with connect_registry(get_settings()) as registry:
        await RegisteredComfyUI(url=B, labels=["new"]).asave("gpu-b")
        server = (await known(registry))["gpu-b"]
        assert (server.url, server.labels) == (B, ("new",))


async def test_what_cannot_be_taken_up_is_said_and_put_right(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connect_registry(get_settings()) as registry:
        await registry.add(NewServer(url=A, name="gpu-a", labels=["xl"]))
        await RegisteredComfyUI(url="http://me:secret@gpu-c:8188").asave("gpu-c")
        await update_server_blocks()
        block = await loaded("gpu-a")
        block.labels = ["Not A Label"]
        await block.asave("gpu-a", overwrite=True)
        found = await blocks()
        assert found["gpu-a"]["labels"] == ["xl"]
        assert "gpu-c" not in found
        assert "gpu-c" not in await known(registry)
    assert "block gpu-a says is not taken up" in caplog.text
    assert "has a login" in caplog.text
    assert "secret" not in caplog.text


async def test_a_changed_block_of_a_server_that_is_gone_goes_and_holds_up_no_other() -> None:
    async with connect_registry(get_settings()) as registry:
        await registry.add(NewServer(url=A, name="gpu-a"))
        await registry.add(NewServer(url=B, name="gpu-b"))
        await update_server_blocks()
        block = await loaded("gpu-a")
        block.labels = ["night"]
        await block.asave("gpu-a", overwrite=True)
        await registry.remove("gpu-a")
        await registry.drain("gpu-b")
        found = await blocks()
    assert "gpu-a" not in found
    assert found["gpu-b"]["is_drained"] is True


async def test_a_vault_that_is_saved_in_prefect_is_the_one_that_references_lead_to(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = StudioVault(url="http://127.0.0.1:1", auth="token", token="file:/run/secrets/token")
    await vault.asave("studio")
    monkeypatch.setenv("LIBRARY", str(studio.library))
    await AssetLibrary(root=Path("env:LIBRARY"), timezone="env:TZ_OF_STUDIO").asave("studio")
    monkeypatch.setenv("TZ_OF_STUDIO", "Asia/Tokyo")
    try:
        blocks = await load_blocks()
        assert (blocks.library.root, blocks.library.timezone) == (studio.library, "Asia/Tokyo")
        config = RESOLVER.session().config
        assert (config.url, config.token) == (vault.url, vault.token)
    finally:
        await StudioVault.adelete("studio")
        await AssetLibrary.adelete("studio")
        RESOLVER.close()
