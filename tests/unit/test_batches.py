"""A batch, taken apart into jobs whose ids stay what they are."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from anime.core.batches import (
    MAX_CHILDREN,
    BatchRequest,
    expand,
    jobs_of,
    kind_of,
    possible_jobs_of,
    summary_of,
)
from anime.core.ids import MAX_SEED
from anime.core.job_status import JobStatus
from anime.schemas import GenerationRequest


def batch(**fields: Any) -> BatchRequest:  # of any field
    return BatchRequest.model_validate({"name": "rooftops", **fields})


def asked(order: BatchRequest) -> list[tuple[str, int | None]]:
    return [(child.request.prompt, child.request.seed) for child in expand(order)]


def test_each_prompt_goes_with_each_seed_in_order() -> None:
    order = batch(prompts=["dusk", "dawn"], seeds=[3, MAX_SEED])
    assert asked(order) == [("dusk", 3), ("dusk", MAX_SEED), ("dawn", 3), ("dawn", MAX_SEED)]
    assert [child.number for child in expand(order)] == [1, 2, 3, 4]


def test_takes_are_jobs_of_their_own_without_a_seed() -> None:
    children = expand(batch(prompts=["dusk"], takes=3))
    assert len({child.job_id(1) for child in children}) == 3
    assert {child.request.seed for child in children} == {None}


def test_whole_requests_follow_the_prompts_and_overrule_what_is_common() -> None:
    order = batch(
        prompts=["dusk"],
        common={"width": 512, "project": "Neon", "inputs": {"frames": 8, "style": "ink"}},
        requests=[{"prompt": "dawn", "width": 64, "inputs": {"frames": 2}}],
    )
    first, second = (child.request for child in expand(order))
    assert (first.width, first.project, first.inputs["frames"]) == (512, "Neon", 8)
    assert (second.width, second.project) == (64, "Neon")
    assert second.inputs == {"frames": 2, "style": "ink"}


def test_children_go_behind_what_people_wait_for_unless_they_say_otherwise() -> None:
    order = batch(prompts=["dusk"], requests=[{"prompt": "dawn", "priority": 90}])
    assert [child.request.priority for child in expand(order)] == [10, 90]
    assert expand(batch(prompts=["dusk"], priority=60))[0].request.priority == 60


def test_ids_follow_from_name_and_content_and_not_from_the_place_in_the_list() -> None:
    one = {c.request.prompt: c.job_id(1) for c in expand(batch(prompts=["a", "b", "c"]))}
    other = {c.request.prompt: c.job_id(1) for c in expand(batch(prompts=["new", "c", "b", "a"]))}
    assert one.items() <= other.items()
    elsewhere = expand(BatchRequest(name="streets", prompts=["a"]))[0]
    assert elsewhere.job_id(1) != one["a"]


def test_priority_and_what_equals_a_default_change_no_id() -> None:
    plain = expand(batch(requests=[{"prompt": "a", "seed": 1}]))[0]
    wordy = expand(
        batch(requests=[{"prompt": "a", "seed": 1, "type": "image", "loras": []}], priority=80)
    )[0]
    assert plain.job_id(1) == wordy.job_id(1)


def test_an_id_is_the_same_in_every_version_of_this_program() -> None:
    child = expand(batch(prompts=["a girl on a rooftop"], seeds=[7]))[0]
    assert str(child.job_id(1)) == "b06ac68e-9b7b-5ee7-93e0-ff48afff8d0e"


@given(st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=12))
def test_no_two_children_share_an_id_even_if_they_ask_for_the_same(prompts: list[str]) -> None:
    children = expand(batch(prompts=prompts))
    ids = {child.job_id(attempt) for child in children for attempt in (1, 2)}
    assert len(ids) == 2 * len(prompts)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], 1),
        ([JobStatus.QUEUED], 1),
        ([JobStatus.PROCESSING], 1),
        ([JobStatus.CANCELLING], 1),
        ([JobStatus.COMPLETED], 1),
        ([JobStatus.FAILED], 2),
        ([JobStatus.CANCELLED], 2),
        ([JobStatus.FAILED, JobStatus.COMPLETED], 2),
        ([JobStatus.FAILED, JobStatus.FAILED], 3),
        ([JobStatus.FAILED, JobStatus.FAILED, JobStatus.FAILED], 3),
    ],
)
def test_what_failed_is_tried_again_as_another_job_up_to_the_limit(
    known: list[JobStatus], expected: int
) -> None:
    [child] = expand(batch(prompts=["dusk"], max_tries=3))
    statuses = {child.job_id(number): status for number, status in enumerate(known, start=1)}
    assert list(jobs_of([child], statuses)) == [child.job_id(expected)]
    assert set(statuses) | {child.job_id(expected)} <= set(possible_jobs_of([child]))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "nothing to render"),
        ({"seeds": [1], "requests": [{"prompt": "a"}]}, "seeds but no prompts"),
        ({"prompts": ["a"], "seeds": [1], "takes": 2}, "both seeds and takes"),
        ({"prompts": ["a"] * 160, "seeds": list(range(100))}, "asks for 16000 generations"),
        ({"prompts": ["a"], "takes": MAX_CHILDREN, "requests": [{"prompt": "b"}]}, "10001"),
        ({"prompts": [" "]}, "say what to draw"),
        ({"prompts": ["a"], "seeds": [-1]}, "greater than or equal to 0"),
        ({"prompts": ["a"], "common": {"widht": 64}}, "common field widht: it is not known"),
        ({"prompts": ["a"], "common": {"width": 65}}, "common field width: .*multiple of 8"),
        ({"prompts": ["a"], "common": {"seed": 1}}, "say it under seeds"),
        ({"prompts": ["a"], "common": {"prompt": "b"}}, "say it under prompts"),
        ({"prompts": ["a"], "max_tries": 0}, "greater than or equal to 1"),
        ({"prompts": ["a"], "color": "red"}, "Extra inputs"),
    ],
)
def test_what_is_no_batch_is_refused_with_a_reason(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        batch(**fields)


def test_a_fault_in_a_request_names_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        batch(requests=[{"prompt": "a"}, {"prompt": "b", "steps": 0}])
    assert caught.value.errors()[0]["loc"] == ("requests", 1, "steps")


def test_words_and_seeds_make_no_other_kind_of_request() -> None:
    def kind(**fields: Any) -> str:  # of any field
        return kind_of(GenerationRequest.model_validate({"prompt": "a", **fields}))

    assert kind() == kind(seed=3, project="Neon", priority=3) == kind(prompt="b")
    assert len({kind(), kind(model="x"), kind(width=64), kind(inputs={"image": "a.png"})}) == 4


def test_a_summary_counts_only_what_there_is() -> None:
    assert summary_of([JobStatus.FAILED, JobStatus.COMPLETED]) == "1 completed, 1 failed"
    assert summary_of([]) == ""


def test_a_request_that_is_made_from_something_else_is_rendered_anew() -> None:
    def jobs(*digests: str) -> list[UUID]:
        request = GenerationRequest(prompt="a fox", seed=7)
        batch = BatchRequest(name="b", requests=[request, request], digests=list(digests))
        return [child.job_id(1) for child in expand(batch)]

    first, second = "0" * 16, "1" * 16
    assert jobs(first, first) == jobs(first, first) != jobs()
    assert len({*jobs(first, first), *jobs(first, second), *jobs()}) == 5
    with pytest.raises(ValidationError, match="one for each request"):
        jobs(first)
