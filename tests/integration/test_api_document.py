"""The OpenAPI document: it names every error, and has a true example of all that goes in or out."""

import json
import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from anime.api.app import create_app
from anime.settings import Settings, load_settings
from tests.integration.api_client import TOKENS, opened_api, operations

Json = dict[str, Any]  # OpenAPI's many shapes
WITHOUT_EXAMPLE = (
    *("image/", "video/", "audio/"),
    *("application/pdf", "application/zip", "application/octet-stream", "multipart/byteranges"),
)
OF_OLD_CLIENTS = {
    "post": ("/generate", "/generation/{}/cancel", "/projects/{}/generate"),
    "get": (
        *("/generation/{}/status", "/jobs", "/jobs/{}", "/jobs/{}/events"),
        *("/projects", "/projects/{}", "/projects/{}/history"),
        *("/characters", "/characters/{}", "/characters/{}/versions"),
        *("/files", "/files/{}", "/files/{}/content", "/files/{}/thumbnail"),
    ),
}


@pytest.fixture
def document() -> Json:
    """As the API serves it without a token."""
    return made_document()


@cache
def made_document() -> Json:
    """It takes a quarter of a second, and no test changes it."""
    settings = load_settings(database_url="postgresql:///none", redis_url="redis://none")
    made: Json = json.loads(json.dumps(create_app(settings).openapi()))
    return made


def contents(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Where, as which media type and how described each body and each answer is."""
    for method, path, operation in operations(document):
        bodies = {"body": operation.get("requestBody", {})}
        for name, described in (bodies | operation["responses"]).items():
            for media_type, content in described.get("content", {}).items():
                yield f"{method.upper()} {path} {name}", media_type, content


def examples_of(content: Json, document: Json) -> list[Any]:  # JSON
    """The examples beside the schema or in it."""
    if "example" in content:
        return [content["example"]]
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return list(schema.get("examples", []))


def test_the_document_names_every_error_of_every_route(document: Json) -> None:
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for method, path, operation in operations(document):
        errors = {int(code) for code in operation["responses"] if int(code) >= 400}
        assert errors >= {400, 401, 422, 500, 503}, path
        if "requestBody" in operation:
            assert errors >= {408, 413}, path
        if "{" in path and method == "get":
            assert 404 in errors, path
        for code in errors - {503 if path == "/ready" else 0}:
            content = operation["responses"][str(code)]["content"]["application/problem+json"]
            assert content["example"]["status"] == code
            assert operation["responses"][str(code)]["description"] == HTTPStatus(code).phrase


def test_every_route_that_clients_know_is_there(document: Json) -> None:
    there = {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path, _ in operations(document)}
    for method, paths in OF_OLD_CLIENTS.items():
        assert {(method, f"/api/anime{path}") for path in paths} <= there
    assert {("get", "/health"), ("get", "/ready"), ("get", "/metrics")} <= there


def test_every_list_comes_in_pages(document: Json) -> None:
    lists = []
    for _, path, operation in operations(document):
        schema = operation["responses"].get("200", {}).get("content", {}).get("application/json")
        if schema and "/Page_" in schema["schema"]["$ref"]:
            lists.append(path)
            asked = {each["name"] for each in operation.get("parameters", [])}
            assert asked >= {"limit", "cursor"}, path
    assert len(lists) == 9
    answers = (content["schema"] for _, _, content in contents(document) if "schema" in content)
    assert "array" not in {schema.get("type") for schema in answers}


def test_no_body_takes_a_field_that_is_not_known(document: Json) -> None:
    schemas = document["components"]["schemas"]
    bodies = {
        content["schema"]["$ref"].rpartition("/")[2]
        for where, _, content in contents(document)
        if where.endswith("body") and "schema" in content
    }
    assert len(bodies) == 18
    for name in bodies | {"LoraChoice"}:
        assert schemas[name]["additionalProperties"] is False, name


def test_every_body_and_every_answer_has_an_example(document: Json) -> None:
    described = [
        (where, media_type, examples_of(content, document))
        for where, media_type, content in contents(document)
        if not media_type.startswith(WITHOUT_EXAMPLE)
    ]
    assert len(described) > 150
    assert [where for where, _, examples in described if not examples] == []
    assert {media_type for _, media_type, _ in described} == {
        "application/json",
        "application/problem+json",
        "text/event-stream",
        "text/plain",
    }


def test_every_example_is_what_its_schema_allows(document: Json) -> None:
    parts = {"components": document["components"]}
    for where, media_type, content in contents(document):
        if "schema" in content:
            schema = Draft202012Validator(content["schema"] | parts, validate_formats=True)
            for example in examples_of(content, document):
                assert [fault.message for fault in schema.iter_errors(example)] == [], where
                is_json = media_type.endswith("json")
                assert is_json == isinstance(example, dict), where


def test_an_example_of_an_answer_leaves_no_field_out(document: Json) -> None:
    for where, _, content in contents(document):
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if name and name != "Problem" and not where.endswith("body"):
            fields = document["components"]["schemas"][name]["properties"]
            for example in examples_of(content, document):
                assert example.keys() == fields.keys(), where


async def test_each_route_takes_the_example_of_its_body(
    api: httpx.AsyncClient, document: Json
) -> None:
    """In an order in which what they name is there: as somebody tries them out at /docs."""

    async def tried(method: str, path: str, **named: str) -> Json:
        body = document["paths"][path][method]["requestBody"]["content"]["application/json"]
        [example] = examples_of(body, document)
        answer = await api.request(method, path.format(**named), json=example)
        assert answer.is_success, answer.text
        made: Json = answer.json()
        return made

    project = await tried("post", "/api/anime/projects")
    await tried("patch", "/api/anime/projects/{project}", project=project["slug"])
    await tried("put", "/api/anime/projects/{project}/style", project=project["slug"])
    mei = await tried("post", "/api/anime/characters")
    await tried("patch", "/api/anime/characters/{character_id}", character_id=mei["id"])
    await tried("post", "/api/anime/characters/{character_id}/versions", character_id=mei["id"])
    await tried("post", "/api/anime/characters/{character_id}/references", character_id=mei["id"])
    await tried("post", "/api/anime/projects/{project}/generate", project=project["slug"])
    await tried("post", "/api/anime/compose")
    job = await tried("post", "/api/anime/generate")
    shown = (await api.get(f"/api/anime/jobs/{job['job_id']}")).json()
    assert (shown["project"], shown["character"]) == (project["name"], mei["name"])
    await tried("post", "/api/anime/servers")
    await tried("post", "/api/anime/pause")
    await tried("post", "/api/anime/resume")
    assert (await tried("post", "/api/anime/shots/import/plan"))["added"] == 1
    assert (await tried("post", "/api/anime/shots/import"))["added"] == 1
    await tried("post", "/api/anime/shots/render")
    # A review is of a take that is there, a reproduction and a sheet of a file, an upload a
    # picture: test_takes.py, test_tiles.py, test_characters.py, test_api_making.py and
    # tests/flows/test_reproduction.py.
    assert sum("requestBody" in operation for *_, operation in operations(document)) == 24


def test_the_examples_of_events_and_figures_are_in_their_formats(document: Json) -> None:
    of = {media_type: content for _, media_type, content in contents(document)}
    events = of["text/event-stream"]["example"].removesuffix("\n\n").split("\n\n")
    told = [dict(line.split(": ", 1) for line in event.splitlines()) for event in events]
    assert [json.loads(each["data"])["type"] for each in told] == ["status", "progress"]
    assert [each["id"] for each in told] == ["4", "5"]
    figures = list(text_string_to_metric_families(of["text/plain"]["example"]))
    assert [family.name for family in figures] == ["anime_queue_depth", "anime_comfyui_up"]


def test_files_are_described_by_what_they_may_be(document: Json) -> None:
    for path, media_types in (
        ("/api/anime/files/{file_id}/content", {"image/*", "video/*", "audio/*"}),
        ("/api/anime/files/{file_id}/thumbnail", {"image/*"}),
        ("/api/anime/sheets/{name}", {"image/png", "application/pdf"}),
    ):
        answers = document["paths"][path]["get"]["responses"]
        assert answers["200"]["content"].keys() >= media_types, path
        parts = {*answers["200"]["content"], "multipart/byteranges"}
        assert set(answers["206"]["content"]) == parts, path
        assert "content" not in answers["304"], path


async def test_the_document_says_how_to_get_in_where_a_token_is_set(
    api_settings: Settings, document: Json
) -> None:
    assert "security" not in document
    async with opened_api(api_settings, **TOKENS) as locked:
        locked_document = (await locked.get("/openapi.json")).json()
    assert locked_document["security"] == [{"token": []}]


async def test_the_docs_page_loads_everything_from_here(api: httpx.AsyncClient) -> None:
    page = (await api.get("/docs")).text
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/assets/{asset}" in page
        assert (await api.get(f"/docs/assets/{asset}")).status_code == 200
