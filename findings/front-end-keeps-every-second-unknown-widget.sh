#!/bin/sh
# ComfyUI's editor exports every second of the links to widgets that a node no longer has.
#
# One would guess: a workflow was saved with links to inputs which the server's version of the node
# does not have any more. The editor drops them all, or sends them all and the server decides.
# What happens: of such inputs one after the other, it drops the first and keeps the second, drops
# the third and keeps the fourth. What the server is sent depends on how many there are, and in
# which order the old version had them.
# Versions: comfyui-frontend-package 1.49.6, playwright 1.65.2, Python 3.11.
# Date: 2026-12-01.
# Why it matters to us: a node package is updated, and a workflow of last year is imported. What we
# send is to be what the editor would send, so this is followed, and the person is told.
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
    "Number": node_class("Number", {"value": ["INT", {"default": 1, "min": 0, "max": 9}]}, "INT"),
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


def linked(names):
    """A node with links to inputs of these names, none of which its class has."""
    slots = [{"name": name, "type": "INT", "link": 10 + place, "widget": {"name": name}}
             for place, name in enumerate(names)]
    output = {"name": "INT", "type": "INT", "links": [each["link"] for each in slots]}
    picture = {"name": "IMAGE", "type": "IMAGE", "links": [1]}
    return saved(
        node(1, "Number", outputs=[output], values=[4]),
        node(2, "Draw", slots, [picture], [8.0]),
        node(3, "Save", [{"name": "images", "type": "IMAGE", "link": 1}]),
        links=[[1, 2, 0, 3, 0, "IMAGE"],
               *([each["link"], 1, 0, 2, place, "INT"] for place, each in enumerate(slots))],
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
SAVED = ["a", "ab", "abc", "abcd"]
found = asyncio.run(exported([linked(names) for names in SAVED]))
kept = {names: [each for each in graph["2"]["inputs"] if each != "cfg"]
        for names, graph in zip(SAVED, found, strict=True)}
for names, sent in kept.items():
    print(f"links to the unknown inputs {', '.join(names)}: exported are {sent or 'none'}")
assert kept == {"a": [], "ab": ["b"], "abc": ["b"], "abcd": ["b", "d"]}
print("As described.")
PYTHON
