"""Whose a file is: its own word first, and nobody comes to harm by a forged one."""

import json
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.ownership import (
    Claims,
    Evidence,
    Known,
    KnownJob,
    KnownProject,
    Sidecar,
    owner_among,
    read_sidecar,
)
from anime.core.png_metadata import FileStamp

NEON = KnownProject(UUID(int=1), "neon-city", "Neon City")
TOWN = KnownProject(UUID(int=2), "town", "Town")
JOB, OTHER_JOB = UUID(int=3), UUID(int=4)


def known(*jobs: KnownJob) -> Known:
    return Known.of([NEON, TOWN], list(jobs))


def stamp(job_id: UUID = JOB, project: str | None = None) -> FileStamp:
    return FileStamp(
        job_id=job_id,
        prompt="a fox",
        seed="7",
        workflow="txt2img",
        workflow_sha256="ab" * 32,
        project=project,
    )


def test_the_stamp_within_the_file_counts_before_all_else() -> None:
    claims = Claims(f"jobs/{OTHER_JOB}/1/a.png", stamp(JOB), Sidecar(job_id=uuid4()))
    owner = owner_among(claims, known())
    assert (owner.job_id, owner.evidence) == (JOB, Evidence.STAMP)


def test_the_jobs_folder_or_prefix_counts_before_a_sidecar() -> None:
    sidecar = Sidecar(job_id=OTHER_JOB)
    for path in (f"jobs/{JOB}/2/x.png", f"anime_{JOB}_00001_.png"):
        owner = owner_among(Claims(path, sidecar=sidecar), known())
        assert (owner.job_id, owner.evidence) == (JOB, Evidence.PATH)


def test_a_sidecar_counts_before_a_name() -> None:
    sidecar = Sidecar(job_id=JOB, project="Town")
    owner = owner_among(Claims("neon-city/x.png", sidecar=sidecar), known())
    assert (owner.job_id, owner.slug, owner.evidence) == (JOB, "town", Evidence.SIDECAR)


@pytest.mark.parametrize(
    "path",
    [
        "Neon City/x.png",
        "deep/neon-city/more/x.png",
        "neon-city_shot3_00001_.png",
        "Neon City 00001.png",
        f"exports/{NEON.id}/x.png",
        f"x_{NEON.id}_.png",
    ],
)
def test_a_project_is_found_by_uuid_or_slug_in_the_path(path: str) -> None:
    owner = owner_among(Claims(path), known())
    assert (owner.job_id, owner.slug, owner.evidence) == (None, "neon-city", Evidence.NAME)


@pytest.mark.parametrize(
    "path", ["x.png", "a/neon.png", "my-neon-city.png", f"{UUID(int=5)}/x.png"]
)
def test_what_names_nobody_is_nobodys(path: str) -> None:
    owner = owner_among(Claims(path), known())
    assert (owner.job_id, owner.slug, owner.evidence) == (None, None, Evidence.NONE)


def test_a_job_that_has_a_row_says_itself_which_project_it_is_of() -> None:
    forged = stamp(JOB, project="Town")
    owner = owner_among(Claims("x.png", forged), known(KnownJob(JOB, NEON, is_live=False)))
    assert (owner.job_id, owner.slug) == (JOB, "neon-city")
    owner = owner_among(Claims("x.png", forged), known(KnownJob(JOB, None, is_live=False)))
    assert owner.slug is None


def test_what_a_completed_job_has_not_recorded_is_its_projects_alone() -> None:
    done = known(KnownJob(JOB, NEON, is_live=False, has_all=True))
    for claims in (Claims("x.png", stamp(JOB)), Claims(f"jobs/{JOB}/1/anime_{JOB}_00002_.png")):
        owner = owner_among(claims, done)
        assert (owner.job_id, owner.slug) == (None, "neon-city")


def test_the_project_of_an_unknown_job_is_one_plain_folder_whatever_it_is_called() -> None:
    owner = owner_among(Claims("x.png", stamp(project="../../etc")), known())
    assert owner.slug == "etc"
    assert owner.job_id == JOB


def test_the_old_services_sidecars_are_understood() -> None:
    text = json.dumps(
        {"id": str(JOB), "params": {"positive_prompt": "a fox", "seed": 2**64 - 1}, "shot_id": 3}
    )
    sidecar = read_sidecar(text.encode())
    assert sidecar is not None
    assert (sidecar.job_id, sidecar.prompt, sidecar.shot) == (JOB, "a fox", "3")
    assert sidecar.seed == str(2**64 - 1)


def test_one_field_that_cannot_be_read_spoils_no_other() -> None:
    sidecar = read_sidecar(b'{"job_id": "seven", "project": "Town", "prompt": {"a": [1]}}')
    assert sidecar is not None
    assert (sidecar.job_id, sidecar.project, sidecar.prompt) == (None, "Town", None)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_reading_a_sidecar_never_raises(text: bytes) -> None:
    assert read_sidecar(text) is None or isinstance(read_sidecar(text), Sidecar)


def test_a_sidecar_nested_without_end_says_nothing() -> None:
    assert read_sidecar(b"[" * 100_000) is None
    assert read_sidecar(b'{"a":' * 100_000) is None
