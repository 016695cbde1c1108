"""What the studio says of its servers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from anime.comfyui.address import address_to_use, addresses_meant, canonical_url
from anime.core.server_health import ServerHealth
from anime.core.servers import (
    EVERYTHING,
    PauseRecord,
    ServerFingerprint,
    ServerRecord,
    default_name,
    differences,
    project_scope,
    server_scope,
)
from anime.errors import ConfigurationError

NOW = datetime(2026, 4, 12, tzinfo=UTC)


def server(name: str, **known: Any) -> ServerRecord:
    return ServerRecord(
        url=f"http://{name}:8188",
        name=name,
        from_settings=True,
        is_drained=False,
        health=ServerHealth.ALIVE,
        health_reason="",
        health_since=NOW,
        last_seen_at=NOW,
        checked_at=NOW,
        fingerprint=ServerFingerprint(**{"version": "0.33.0"} | known) if known else None,
        offers={},
        loaded_model=None,
    )


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("gpu-a", True),
        ("GPU-A", True),
        ("fast", True),
        ("http://gpu-a:8188", True),
        ("http://GPU-A:8188/", True),
        ("http://artist:secret@gpu-a:8188", True),
        ("gpu-a:8188", True),
        ("GPU-A:8188/", True),
        ("https://gpu-a:8188", False),
        ("gpu-a:8189", False),
        ("gpu-b", False),
        ("fas", False),
    ],
)
def test_a_server_is_named_by_its_name_address_or_label_in_any_case(
    wanted: str, expected: bool
) -> None:
    record = server("gpu-a").model_copy(update={"labels": ("fast", "new")})
    assert record.answers_to(wanted, *addresses_meant(wanted)) is expected


@pytest.mark.parametrize(
    "spelled",
    [
        "http://gpu-b:8188",
        "http://gpu-b:8188/",
        "HTTP://GPU-B:8188",
        "http://artist:secret@gpu-b:8188",
    ],
)
def test_an_address_spelled_otherwise_is_the_same_server(spelled: str) -> None:
    assert canonical_url(spelled) == "http://gpu-b:8188"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://gpu-b", "http://gpu-b:80/"),
        ("https://gpu-b:443/comfy/", "https://gpu-b/comfy"),
        ("http://localhost:8188", "http://127.0.0.1:8188"),
        ("http://LOCALHOST/a", "http://127.0.0.1/a"),
    ],
)
def test_the_default_port_and_this_machine_have_one_spelling(one: str, other: str) -> None:
    assert canonical_url(one) == canonical_url(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://gpu-b:8188", "https://gpu-b:8188"),
        ("http://gpu-b:8188/a", "http://gpu-b:8188/A"),
        ("http://localhost.studio:8188", "http://127.0.0.1:8188"),
        ("http://[::1]:8188", "http://127.0.0.1:8188"),
    ],
)
def test_other_addresses_are_other_servers(one: str, other: str) -> None:
    assert canonical_url(one) != canonical_url(other)


def test_what_is_no_address_is_refused_without_its_login() -> None:
    with pytest.raises(ConfigurationError) as refused:
        canonical_url("ftp://artist:secret@gpu-b")
    assert "secret" not in str(refused.value)


def test_a_server_is_spoken_to_with_the_login_of_the_settings() -> None:
    given = ["http://a:8188", "http://artist:secret@GPU-B:8188/"]
    assert address_to_use("http://gpu-b:8188", given) == given[1]
    assert address_to_use("http://gpu-c:8188", given) == "http://gpu-c:8188"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://gpu-b:8188", "gpu-b-8188"),
        ("https://studio.example/comfy/b", "studio.example-comfy-b"),
        ("http://[::1]:8188", "1-8188"),
    ],
)
def test_a_server_is_named_by_host_and_port(url: str, name: str) -> None:
    assert default_name(url) == name


def test_servers_that_are_alike_differ_in_nothing() -> None:
    alike = {"pytorch_version": "2.11", "node_packages": ("A", "B"), "packages": ("k 1",)}
    assert differences([server("a", **alike), server("b", **alike)]) == []
    assert differences([]) == []


def test_servers_differ_in_versions_and_packages_and_only_that_is_told() -> None:
    found = differences(
        [
            server("a", version="0.33.0", node_packages=("A", "B"), packages=("k 1", "x 1")),
            server("b", version="0.32.1", node_packages=("A",), packages=("k 2", "x 1")),
        ]
    )
    assert found == [
        "ComfyUI (a: 0.33.0; b: 0.32.1)",
        "node packages (a: B; b: –)",
        "Python packages (a: k 1; b: k 2)",
    ]


def test_what_a_server_does_not_tell_is_not_compared() -> None:
    known = {"node_packages": ("A",), "packages": ("k 1",), "pytorch_version": "2.11"}
    assert differences([server("a", **known), server("b", version="0.33.0"), server("c")]) == []


@pytest.mark.parametrize(
    ("scope", "command"),
    [
        (EVERYTHING, "anime resume"),
        (project_scope("neon-city"), "anime resume --project neon-city"),
        (server_scope("http://gpu:8188"), "anime resume --server http://gpu:8188"),
    ],
)
def test_a_pause_says_the_command_that_ends_it(scope: str, command: str) -> None:
    pause = PauseRecord(
        scope=scope, reason="", is_automatic=False, since=datetime(2026, 4, 12, tzinfo=UTC)
    )
    assert pause.todo == f"`{command}` ends it."
