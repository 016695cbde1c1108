"""Which server renders what: first where it is expected to be finished first."""

from collections import Counter
from dataclasses import replace
from itertools import cycle, islice
from uuid import UUID, uuid4

import pytest

from anime.core.assignment import (
    Assignment,
    LearnedCost,
    RenderEstimate,
    ServerLoad,
    WaitingRender,
    assign,
    cost_of_steps,
    estimate_of,
    finish_times,
    learned,
)
from anime.core.graphs import Node
from anime.core.render_kind import render_kind

A, B, C = "http://gpu-a:8188", "http://gpu-b:8188", "http://gpu-c:8188"
SECOND = RenderEstimate(seconds=1.0, load_seconds=4.0)


def server(url: str = A, **fields: object) -> ServerLoad:
    given: dict[str, object] = {"free_slots": 2, "work_seconds": 0.0, "loaded_model": "anima"}
    return ServerLoad(url=url, **given | fields)  # type: ignore[arg-type]  # any of its fields


def waiting(*urls: str, model: str = "anima", estimate: RenderEstimate = SECOND) -> WaitingRender:
    return WaitingRender(uuid4(), model, dict.fromkeys(urls or (A, B), estimate))


def chosen(line: list[WaitingRender], *servers: ServerLoad) -> dict[UUID, str]:
    return {each.job_id: each.server for each in assign(line, servers)}


def test_the_server_that_has_least_to_do_gets_it() -> None:
    render = waiting()
    assert chosen([render], server(A, work_seconds=3), server(B, work_seconds=1)) == {
        render.job_id: B
    }


def test_a_slow_server_is_taken_only_while_the_quick_one_has_more_to_do() -> None:
    render = WaitingRender(
        uuid4(), "anima", {A: RenderEstimate(1.0, 0.0), B: RenderEstimate(5.0, 0.0)}
    )
    assert chosen([render], server(A, work_seconds=3.5), server(B))[render.job_id] == A
    assert chosen([render], server(A, work_seconds=4.5), server(B))[render.job_id] == B


def test_the_server_that_holds_the_model_gets_it_until_loading_would_be_quicker() -> None:
    render = waiting()
    empty = server(B, loaded_model=None)
    assert chosen([render], server(A, work_seconds=3), empty)[render.job_id] == A
    assert chosen([render], server(A, work_seconds=5), empty)[render.job_id] == B


def test_among_equals_the_holder_comes_first_then_who_holds_nothing() -> None:
    quick = RenderEstimate(seconds=1.0, load_seconds=0.0)
    render = waiting(A, B, C, estimate=quick)
    other, empty, holder = (
        server(A, loaded_model="flux"),
        server(B, loaded_model=None),
        server(C),
    )
    assert chosen([render], other, empty, holder) == {render.job_id: C}
    assert chosen([render], other, empty) == {render.job_id: B}


def test_a_candidate_that_is_not_to_be_had_is_left_out() -> None:
    render = waiting(A, B)
    assert chosen([render], server(B)) == {render.job_id: B}
    assert chosen([waiting(C)], server(A), server(B)) == {}


def test_one_that_cannot_be_placed_holds_up_nobody_behind_it() -> None:
    pinned, free = waiting(A), waiting(A, B)
    got = chosen([pinned, free], server(A, free_slots=0, work_seconds=2), server(B))
    assert got == {free.job_id: B}


def test_the_next_in_line_takes_a_slot_that_the_first_would_wait_longer_at() -> None:
    first, second = waiting(model="anima"), waiting(model="flux")
    holder = server(A, free_slots=0, work_seconds=1.0)
    got = chosen([first, second], holder, server(B, loaded_model="flux"))
    assert got == {second.job_id: B}


def test_a_slot_is_not_kept_for_a_server_that_has_become_slow() -> None:
    first = waiting()
    overdue = server(A, free_slots=0, work_seconds=60.0)
    assert chosen([first], overdue, server(B, loaded_model="flux")) == {first.job_id: B}


def test_many_of_one_model_spread_once_the_line_at_its_server_costs_more_than_loading() -> None:
    line = [waiting() for _ in range(12)]
    got = chosen(line, server(A, free_slots=6), server(B, free_slots=6, loaded_model=None))
    assert Counter(got.values())[B] >= 3


def test_nobody_waits_longer_for_the_model_than_its_load_takes() -> None:
    holder = server(A, free_slots=0, work_seconds=2.0)
    render = waiting()
    assert chosen([render], holder, server(B, loaded_model="flux")) == {}
    patient = replace(render, waited_seconds=3.0)
    assert chosen([patient], holder, server(B, loaded_model="flux")) == {render.job_id: B}


def test_no_server_gets_more_than_its_free_slots() -> None:
    line = [waiting() for _ in range(9)]
    got = chosen(line, server(A, free_slots=2), server(B, free_slots=1))
    assert Counter(got.values()) == {A: 2, B: 1}
    assert set(got) == {each.job_id for each in line[:3]}


def test_an_assignment_tells_whether_the_model_is_there_and_why_this_server() -> None:
    [warm] = assign([waiting(A)], [server(A)])
    [cold] = assign([waiting(A)], [server(A, loaded_model="flux", work_seconds=2.0)])
    assert isinstance(warm, Assignment)
    assert (warm.holds_model, cold.holds_model) == (True, False)
    assert warm.expected_seconds == 1.0
    assert cold.expected_seconds == 5.0
    assert warm.reason == "it holds anima; expected in 1 s"
    assert cold.reason == "it is to load anima; expected in 7 s"


def test_two_models_that_alternate_keep_to_the_servers_that_hold_them() -> None:
    """Two servers or more are idle each time; the first two renders are the only loads."""
    servers = {url: server(url, loaded_model=None) for url in (A, B, C, "http://gpu-d:8188")}
    hits = 0
    for model in islice(cycle(["anima", "flux"]), 200):
        render = waiting(*servers, model=model)
        [given] = assign([render], list(servers.values()))
        hits += given.holds_model
        servers[given.server] = replace(servers[given.server], loaded_model=model)
    assert hits / 200 >= 0.95


def test_the_end_of_every_waiting_render_is_forecast() -> None:
    line = [waiting(A, B), waiting(A, B), waiting(A, B), waiting(C)]
    ends = finish_times(line, [server(A, free_slots=0, work_seconds=1.0), server(B)])
    assert [ends.get(each.job_id) for each in line] == [1.0, 2.0, 2.0, None]


def test_a_server_nobody_has_rendered_at_is_estimated_by_the_others() -> None:
    costs = {A: LearnedCost(4, 2.0, 6.0, 5000), B: LearnedCost(2, 4.0, None, None)}
    assert estimate_of(A, costs) == RenderEstimate(2.0, 6.0)
    assert estimate_of(B, costs) == RenderEstimate(4.0, 6.0)
    assert estimate_of(C, costs) == RenderEstimate(3.0, 6.0)
    assert estimate_of(C, {}).load_seconds > 0


def test_a_mean_follows_new_renders_and_a_load_is_what_a_cold_one_took_longer() -> None:
    cost = learned(None, seconds=10.0, had_model=False)
    assert (cost.renders, cost.mean_seconds, cost.load_seconds) == (1, 10.0, None)
    for _ in range(20):
        cost = learned(cost, seconds=2.0, had_model=True)
    assert cost.mean_seconds == pytest.approx(2.0, abs=0.2)
    cost = learned(cost, seconds=8.0, had_model=False, peak_vram_mb=7000)
    assert cost.mean_seconds == pytest.approx(2.0, abs=0.2)
    assert cost.load_seconds == pytest.approx(6.0, abs=0.2)
    assert cost.peak_vram_mb == 7000
    assert learned(cost, seconds=2.0, had_model=True, peak_vram_mb=6000).peak_vram_mb == 7000


def test_renders_of_four_and_of_forty_steps_do_not_share_what_they_cost() -> None:
    known = {4: LearnedCost(3, 2.0, 5.0, 6000), 40: LearnedCost(3, 18.0, None, 6500)}
    assert cost_of_steps(4, known) == LearnedCost(3, 2.0, 5.0, 6500)
    assert cost_of_steps(40, known) == LearnedCost(3, 18.0, 5.0, 6500)
    assert cost_of_steps(30, known).mean_seconds == 13.5
    assert cost_of_steps(0, known) == cost_of_steps(4, known)


def test_renders_whose_steps_were_not_told_apart_count_only_where_there_are_no_others() -> None:
    old = LearnedCost(50, 7.0)
    assert cost_of_steps(20, {0: old}) == old
    assert cost_of_steps(20, {0: old, 10: LearnedCost(1, 3.0)}).mean_seconds == 6.0


def test_the_kind_of_a_render_counts_the_steps_of_all_samplers() -> None:
    sampler: Node = {"class_type": "KSampler", "inputs": {"steps": 20}}
    second: Node = {"class_type": "KSampler", "inputs": {"steps": 8}}
    assert render_kind("w", {"1": sampler, "2": second}).steps == 28
    assert render_kind("w", {"1": {"class_type": "SaveImage", "inputs": {}}}).steps == 0
