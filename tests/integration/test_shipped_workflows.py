"""Every shipped workflow renders on the rehearsal server, which checks it as ComfyUI does."""

from typing import Any

import pytest
from PIL import Image

from anime.comfyui.outputs import files_of
from anime.comfyui.workflow_templates import list_templates, load_template
from anime.core.workflow_build import build
from anime.rehearsal.nodes import models_named_in
from anime.schemas import GenerationRequest, LoraChoice
from anime.settings import SHIPPED_WORKFLOWS
from tests.integration.rehearsal_peer import Peer

PICTURE = "start.png"
LORA = LoraChoice(name="rehearsal-ink.safetensors")
SMALL = {"width": 64, "height": 64}
MODELS = {
    model
    for template in list_templates(SHIPPED_WORKFLOWS)
    for model in models_named_in(template.graph)
}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("txt2img", SMALL, "image/png"),
    ("img2img", {"inputs": {"image": PICTURE}}, "image/png"),
    ("animation", SMALL | {"inputs": {"frames": 2}}, "image/webp"),
    ("sdxl", SMALL, "image/png"),
    ("anime", SMALL, "image/png"),
    ("z_image", SMALL, "image/png"),
    *(("edit", {"inputs": {"references": [PICTURE] * count}}, "image/png") for count in (1, 2, 3)),
    ("text_to_video", SMALL | {"inputs": {"seconds": 0.2}}, "video/mp4"),
    ("image_to_video", SMALL | {"inputs": {"seconds": 0.2, "image": PICTURE}}, "video/mp4"),
]


REHEARSAL = {"models": tuple(MODELS)}


@pytest.mark.parametrize(("name", "fields", "media_type"), CASES)
async def test_a_shipped_workflow_renders(
    peer: Peer, name: str, fields: dict[str, Any], media_type: str
) -> None:
    Image.new("RGB", (64, 64), "teal").save(peer.files / "input" / PICTURE)
    template = load_template(name, SHIPPED_WORKFLOWS)
    given = {"steps": 1} if "steps" in template.inputs else {}
    request = GenerationRequest(prompt="a cat", loras=[LORA, LORA], **given, **fields)
    graph = build(template, request, seed=7, filename_prefix="jobs/x")
    entry = await peer.run(graph)
    assert entry["status"]["status_str"] == "success", entry["status"]
    [file] = files_of(entry["outputs"], graph)
    reply = await peer.http.get("/view", params={"filename": file.filename, "subfolder": "jobs"})
    assert reply.headers["content-type"] == media_type


def test_every_shipped_workflow_is_rendered_here() -> None:
    assert {name for name, _, _ in CASES} == {
        template.name for template in list_templates(SHIPPED_WORKFLOWS)
    }
