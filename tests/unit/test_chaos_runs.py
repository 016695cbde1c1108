"""A chaos run's plan follows from its seed, and each broken invariant is found."""

from dataclasses import replace
from itertools import islice
from uuid import UUID

import pytest

from anime.core.ids import prompt_id_of
from benchmarks.chaos.invariants import EndedJob, Kill, LoggedPrompt, Outcome
from benchmarks.chaos.plan import Action, disturbances, rest_seconds

PARTS = ("api", "postgresql", "rehearsal", "rehearsal-2", "valkey", "worker")
JOB = UUID(int=7)
FINE = Outcome(1, frozenset({JOB}), [EndedJob(JOB, "completed", None, 1)])


def test_the_same_seed_disturbs_the_same_parts_at_the_same_times() -> None:
    one, again, other = (
        list(islice(disturbances(seed, PARTS, every_seconds=4), 50)) for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other
    assert {each.action for each in one} == set(Action)
    assert {each.part for each in one} == set(PARTS)


def test_a_part_is_left_alone_between_two_disturbances() -> None:
    last: dict[str, float] = {}
    for each in islice(disturbances(3, PARTS, every_seconds=1), 200):
        assert each.at >= last.get(each.part, 0)
        last[each.part] = each.at + each.seconds + rest_seconds(each.part)


def line(at: float, event: str, attempt: int = 1, server: str = "rehearsal") -> LoggedPrompt:
    return LoggedPrompt(at, server, event, str(prompt_id_of(JOB, attempt)))


def test_nothing_is_violated_where_all_went_well() -> None:
    once = [line(1, "accepted"), line(2, "started"), line(3, "succeeded")]
    assert replace(FINE, prompts=once).violations() == []


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (replace(FINE, jobs=[]), "Lost"),
        (replace(FINE, submitted=2), "2 generations are 1 jobs"),
        (replace(FINE, jobs=[EndedJob(JOB, "processing", None, 0)]), "Stuck"),
        (replace(FINE, jobs=[EndedJob(JOB, "failed", "lost", 0)]), "Not rendered"),
        (replace(FINE, jobs=[EndedJob(JOB, "completed", None, 2)]), "with 2 files"),
        (replace(FINE, left_over=["slot of x"]), "Left over"),
        (replace(FINE, damage=["x is altered"]), "Damaged"),
        (replace(FINE, stack_end="worker died"), "The stack has ended"),
    ],
)
def test_each_broken_invariant_is_a_sentence(broken: Outcome, sentence: str) -> None:
    assert any(sentence in violation for violation in broken.violations())


@pytest.mark.parametrize(
    ("kills", "is_excused"),
    [
        ([], False),
        ([Kill(3.5, "rehearsal")], True),
        ([Kill(0.5, "rehearsal")], False),  # before it had the prompt
        ([Kill(9, "rehearsal")], False),  # after the second render
        ([Kill(3.5, "rehearsal-3")], False),  # which never had it
    ],
)
def test_only_a_server_that_died_with_a_prompt_excuses_a_second_render(
    kills: list[Kill], is_excused: bool
) -> None:
    twice = [
        *(line(1, "accepted"), line(2, "started"), line(3, "succeeded")),
        *(line(4, "accepted", 2, "rehearsal-2"), line(5, "succeeded", 2, "rehearsal-2")),
    ]
    violations = replace(FINE, prompts=twice, kills=kills).violations()
    assert any("Rendered twice" in violation for violation in violations) is not is_excused
