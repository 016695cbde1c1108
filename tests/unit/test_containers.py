"""compose.yaml and Dockerfile keep what they promise; a daemon is needed to see more."""

import re
from functools import cache
from typing import Any

import pytest
import yaml

from anime.api.serve import STOP_SECONDS
from anime.settings import PROJECT_DIR, Settings
from anime.stack.services import HAND_BACK_SECONDS

ONCE = {"migrations", "deployments"}  # they end by themselves


@cache
def services() -> dict[str, Any]:  # as compose has them
    found: dict[str, Any] = yaml.safe_load((PROJECT_DIR / "compose.yaml").read_text())["services"]
    return found


def ours() -> list[str]:
    return [name for name, service in services().items() if "build" in service]


@pytest.mark.parametrize("name", ours())
def test_what_is_ours_has_no_rights_and_one_image(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["image"] == services()["prefect"]["image"]


def test_whatever_goes_on_is_asked_how_it_is() -> None:
    without = {name for name, service in services().items() if "healthcheck" not in service}
    assert without == ONCE | {"rehearsal"}


def test_each_has_the_time_that_it_takes_to_stop() -> None:
    def seconds(name: str) -> int:
        return int(services()[name]["stop_grace_period"].removesuffix("s"))

    grace = Settings.model_fields["worker_grace_seconds"].default
    assert seconds("worker") >= grace + HAND_BACK_SECONDS
    assert seconds("api") >= 2 * STOP_SECONDS


def test_only_loopback_is_published() -> None:
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_variable_is_one_of_the_settings() -> None:
    named = set(services()["api"]["environment"])
    fields = {f"ANIME_{name.upper()}" for name in Settings.model_fields}
    assert named <= fields | {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}


def test_the_image_is_not_roots() -> None:
    text = (PROJECT_DIR / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    user, group = re.findall(r"^USER (\d+):(\d+)$", last, re.MULTILINE)[0]
    assert f"--uid {user} --gid {group}" in last
    assert "--require-hashes" in text
