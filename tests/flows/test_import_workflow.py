"""The flow `import-workflow`: what the form in Prefect gives becomes one of the studio's own."""

from pathlib import Path
from typing import Any

import pytest

from anime.api.examples import GRAPH
from anime.comfyui.workflow_templates import load_template
from anime.errors import AlreadyExists
from anime.settings import get_settings
from flows.import_workflow import import_workflow
from tests.flows.conftest import RehearsalStudio


async def test_a_workflow_is_imported_from_a_form(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANIME_WORKFLOWS_DIR", str(tmp_path))
    monkeypatch.setenv("ANIME_COMFYUI_URL", studio.comfyui_url)
    get_settings.cache_clear()
    given: dict[str, Any] = {"name": "mine", "workflow": GRAPH}
    imported = await import_workflow(**given)
    assert imported.missing_models == []
    assert "prompt" in load_template("mine", tmp_path).inputs
    with pytest.raises(AlreadyExists):
        await import_workflow(**given)
    assert (await import_workflow(**given, replace=True)).lost == []


def test_the_form_has_a_field_for_each_part_of_an_import() -> None:
    assert set(import_workflow.parameters.properties) == {
        "name",
        "workflow",
        "title",
        "choices",
        "replace",
    }
    assert import_workflow.parameters.required == ["name", "workflow"]
