#!/bin/sh
# ComfyUI's editor rounds what a PrimitiveNode gives, and muting or bypassing one does nothing.
#
# One would guess: a value is the same whether it stands in a node or in a PrimitiveNode that is
# linked to it, and a muted (or bypassed) node gives nothing: its target has its own value again.
# What happens: the value of a PrimitiveNode is rounded to the step of the input that it feeds as
# the workflow is exported, 7.256 to 7.3. The same number in the node's own widget is exported as
# it is. Muted or bypassed, the PrimitiveNode gives its value all the same.
# Versions: comfyui-frontend-package 1.49.6, playwright 1.65.2, Python 3.11.
# Date: 2026-12-01.
# Why it matters to us: we make API graphs of saved workflows. A converter that treats a muted
# PrimitiveNode as any muted node renders with another value than the editor does, without a word.
set -eu
chromium=$(command -v chromium-headless-shell || command -v chromium) || {
    echo "A Chromium is needed, such as Debian's chromium-headless-shell."
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check \
    comfyui-frontend-package==1.49.6 playwright==1.65.2
"$folder/venv/bin/python" - "$chromium" <<'PYTHON'
import asyncio
import json
import sys
from importlib.metadata import version
from mimetypes import guess_type
from pathlib import Path

import comfyui_frontend_package
from playwright.async_api import async_playwright

STATIC = Path(comfyui_frontend_package.__file__).parent / "static"
READY = """!!(window.comfyAPI?.app?.app?.vueAppReady && window.comfyAPI.app.app.graph
           && window.LiteGraph?.registered_node_types?.Save)"""
EXPORT = """async workflow => {
    const app = window.comfyAPI.app.app;
    await app.loadGraphData(workflow);
    return (await app.graphToPrompt()).output;
}"""


def node_class(name, inputs, *outputs):
    return {
        "name": name, "display_name": name, "description": "", "category": "test",
        "python_module": "nodes", "output_node": not outputs,
        "input": {"required": inputs}, "input_order": {"required": list(inputs)},
        "output": outputs, "output_name": outputs, "output_is_list": [False] * len(outputs),
    }


CLASSES = {
    "Draw": node_class("Draw", {"cfg": ["FLOAT", {"default": 8.0, "step": 0.1}]}, "IMAGE"),
    "Save": node_class("Save", {"images": ["IMAGE", {}]}),
}
ANSWERS = {  # of a server, to what the page asks for at its start
    "object_info": CLASSES,
    "users": {"storage": "server", "migrated": True},
    "system_stats": {"system": {"comfyui_version": "0.33.0", "argv": []}, "devices": []},
    "queue": {"queue_running": [], "queue_pending": []},
    "jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 1, "total": 0, "has_more": False}},
    **dict.fromkeys(["extensions", "embeddings", "userdata", "v2/userdata"], []),
    **dict.fromkeys(["settings", "history", "i18n", "features", "workflow_templates"], {}),
    **dict.fromkeys(["global_subgraphs", "node_replacements"], {}),
}


async def answer(route):
    path = route.request.url.split("?")[0].removeprefix("http://127.0.0.1:8188/")
    file = STATIC / (path or "index.html")
    if file.is_file():
        kind = guess_type(file.name)[0] or "application/octet-stream"
        await route.fulfill(body=file.read_bytes(), content_type=kind)
    else:
        name = path.removeprefix("api/")
        await route.fulfill(status=200 if name in ANSWERS else 404, json=ANSWERS.get(name, {}))


def node(number, kind, inputs=(), outputs=(), values=(), mode=0):
    return {
        "id": number, "type": kind, "pos": [0, 0], "size": [200, 100], "flags": {}, "order": number,
        "mode": mode, "inputs": list(inputs), "outputs": list(outputs), "properties": {},
        "widgets_values": list(values),
    }


def saved(*nodes, links):
    return {"last_node_id": 9, "last_link_id": 99, "nodes": nodes, "links": links, "groups": [],
            "config": {}, "extra": {}, "version": 0.4}


CFG = {"name": "cfg", "type": "FLOAT", "widget": {"name": "cfg"}}
PICTURE = [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]
SAVE = node(3, "Save", [{"name": "images", "type": "IMAGE", "link": 1}])
TO_SAVE = [1, 2, 0, 3, 0, "IMAGE"]


def typed(value):
    return saved(node(2, "Draw", [{**CFG, "link": None}], PICTURE, [value]), SAVE, links=[TO_SAVE])


def given(value, mode):
    output = {"name": "FLOAT", "type": "FLOAT", "links": [2], "widget": {"name": "cfg"}}
    return saved(
        node(1, "PrimitiveNode", outputs=[output], values=[value, "fixed"], mode=mode),
        node(2, "Draw", [{**CFG, "link": 2}], PICTURE, [8.0]),
        SAVE,
        links=[TO_SAVE, [2, 1, 0, 2, 0, "FLOAT"]],
    )


async def exported(workflows):
    """What the editor would queue for each of the workflows."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=sys.argv[1], args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(base_url="http://127.0.0.1:8188", locale="en-US")
        await page.route("**/*", answer)
        status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "1"}
        hello = json.dumps({"type": "status", "data": status})
        await page.route_web_socket("**/ws**", lambda socket: socket.send(hello))
        await page.goto("/")
        await page.wait_for_function(READY, timeout=90_000)
        found = [await page.evaluate(EXPORT, each) for each in workflows]
        await browser.close()
        return found


print(f"comfyui-frontend-package {version('comfyui-frontend-package')}")
MODES = {"in use": 0, "muted": 2, "bypassed": 4}
workflows = [typed(7.256), *(given(7.256, mode) for mode in MODES.values())]
own, *primitive = [each["2"]["inputs"]["cfg"] for each in asyncio.run(exported(workflows))]
print("cfg 7.256 in the node itself is exported as", own)
for name, cfg in zip(MODES, primitive, strict=True):
    print(f"cfg 7.256 in a PrimitiveNode that is {name} is exported as", cfg)
assert own == 7.256
assert primitive == [7.3, 7.3, 7.3]
print("As described.")
PYTHON
