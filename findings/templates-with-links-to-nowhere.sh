#!/bin/sh
# Official workflow templates of ComfyUI have links to nodes that are not there.
#
# One would guess: a file that ComfyUI's editor saved and ComfyUI ships is consistent. Each link
# of its table joins two nodes of the same graph, and each link that a node's output lists is in
# that table.
# What happens: one template has twelve links in a subgraph that begin or end at nodes which the
# subgraph does not have, and thirteen others list links at outputs that no table has. Both kinds
# are left over from nodes that somebody removed. What an input names is always in the table.
# Versions: comfyui-workflow-templates-json 0.1.123, Python 3.11.
# Date: 2026-11-28.
# Why it matters to us: a converter must start at the inputs of the nodes that are there. One that
# walks along outputs, or refuses a file for a link to nowhere, refuses sound workflows.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    comfyui-workflow-templates-json==0.1.123
"$folder/venv/bin/python" - <<'PYTHON'
import json
from importlib.metadata import files, version

PACKAGE = "comfyui-workflow-templates-json"
INSIDE, OUTSIDE = -10, -20  # a subgraph's own inputs and outputs, where links may begin and end


def graphs(workflow):
    return [workflow, *workflow.get("definitions", {}).get("subgraphs", [])]


def link_table(graph):
    for link in graph.get("links", []):
        if isinstance(link, list):
            yield link[0], link[1], link[3]
        else:
            yield link["id"], link["origin_id"], link["target_id"]


read, links_to_nowhere, listed_by_outputs, named_by_inputs = 0, {}, {}, {}
for file in files(PACKAGE):
    if file.suffix != ".json":
        continue
    workflow = json.loads(file.locate().read_text(encoding="utf-8"))
    if not isinstance(workflow, dict) or "nodes" not in workflow:
        continue
    read += 1
    for graph in graphs(workflow):
        nodes = {node["id"] for node in graph["nodes"]}
        table = list(link_table(graph))
        known = {link for link, _, _ in table}
        nowhere = [link for link, start, end in table
                   if start not in nodes | {INSIDE} or end not in nodes | {OUTSIDE}]
        outputs = [link for node in graph["nodes"] for output in node.get("outputs") or []
                   for link in output.get("links") or [] if link not in known]
        inputs = [node["id"] for node in graph["nodes"] for each in node.get("inputs") or []
                  if each.get("link") is not None and each["link"] not in known]
        for found, where in ((nowhere, links_to_nowhere), (outputs, listed_by_outputs),
                             (inputs, named_by_inputs)):
            if found:
                where[file.stem] = where.get(file.stem, 0) + len(found)

print(f"{PACKAGE} {version(PACKAGE)}: {read} workflows")
print(f"links that begin or end at no node: {links_to_nowhere}")
print(f"links that only an output lists: {len(listed_by_outputs)} workflows, {listed_by_outputs}")
print(f"links that an input names and no table has: {named_by_inputs}")
assert read == 644
assert links_to_nowhere == {"image_flux2_klein_image_edit_9b_distilled": 12}
assert len(listed_by_outputs) == 13
assert not named_by_inputs
print("As described.")
PYTHON
