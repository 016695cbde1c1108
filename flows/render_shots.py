"""Shots of a project, rendered as a batch."""

from typing import Any

from prefect import flow

from anime.runs.flow_form import form_of
from anime.runs.generation import id_of_run
from anime.runs.shot_batch import ShotRender, submit_shots


@flow(name="render_shots")
@form_of(ShotRender)
async def render_shots(**parameters: Any) -> str:  # the request's fields, validated below
    """Check the shots, and begin a batch that renders what is missing; return its run's id.

    The batch is a run of its own. Running this again renders what is missing then.
    """
    asked = ShotRender.model_validate(parameters)
    begun = await submit_shots(asked, key=str(id_of_run()))
    return str(begun.flow_run_id)
