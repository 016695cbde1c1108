"""Dashboards and alerts ask for what there is: figures of `/metrics`, names of spans."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from anime.api.metrics import Metrics
from anime.settings import PROJECT_DIR
from tests.support.waiting import HUNG_SECONDS

FOLDER = PROJECT_DIR / "grafana"
BOARDS = sorted(FOLDER.glob("*.json"))
Json = dict[str, Any]  # of Grafana's and Prometheus' shapes


def queries_of(board: Json) -> Iterator[str]:
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target.get("expr") or target["query"]


def rules() -> list[Json]:
    [group] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    found: list[Json] = group["rules"]
    return found


def figures_in(text: str) -> set[str]:
    """The figures that an expression of Prometheus names."""
    return set(re.findall(r"\banime_\w+", text))


@pytest.fixture(scope="module")
def told() -> set[str]:
    """The figures of `/metrics`, with those that make up a histogram."""
    registry = Metrics()._registry
    names = set()
    for family in registry.collect():
        parts = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
        names |= {f"{family.name}{part}" for part in parts}
    return names


def test_every_figure_that_is_asked_for_exists(told: set[str]) -> None:
    asked = " ".join(query for path in BOARDS for query in queries_of(json.loads(path.read_text())))
    asked += " ".join(rule["expr"] for rule in rules())
    assert figures_in(asked) <= told
    alone = {name for name in told if not name.endswith(("_bucket", "_count", "_sum"))}
    assert alone <= figures_in(asked), "nobody looks at it"
    assert figures_in("anime_gone + 1") - told


def test_every_span_that_is_asked_for_by_name_is_made() -> None:
    query = " ".join(queries_of(json.loads((FOLDER / "traces.json").read_text())))
    asked = {
        name for names in re.findall(r'\bname =~? "([^"*]+)"', query) for name in names.split("|")
    }
    texts = {
        node.value
        for top in ("anime", "flows", "tasks")
        for path in (PROJECT_DIR / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert asked
    assert asked <= texts
    assert set(re.findall(r"span\.([\w.]+)", query)) <= texts


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_panels_are_numbered_and_lie_beside_each_other(path: Any) -> None:
    panels = json.loads(path.read_text())["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [panel["gridPos"] for panel in panels]
    taken = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "todo"}


def test_each_alert_is_shown_to_tell() -> None:
    cases = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
    told = {
        case["alertname"]: alert
        for each in cases
        for case in each["alert_rule_test"]
        for alert in case["exp_alerts"]
    }
    assert told.keys() == {rule["alert"] for rule in rules()}
    for rule in rules():
        expected = told[rule["alert"]]
        assert expected["exp_labels"]["severity"] == rule["labels"]["severity"]
        assert expected["exp_annotations"]["todo"] == rule["annotations"]["todo"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool here")
def test_prometheus_tells_as_the_cases_say() -> None:
    command = ["promtool", "test", "rules", "alerts.test.yaml"]
    done = subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=HUNG_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
