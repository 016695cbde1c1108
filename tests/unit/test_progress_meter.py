import math

from hypothesis import given
from hypothesis import strategies as st

from anime.core.graphs import Graph, Node
from anime.core.progress_meter import ProgressMeter


def node(title: str, **inputs: object) -> Node:
    return {"class_type": title, "inputs": inputs, "_meta": {"title": title}}


GRAPH: Graph = {
    "1": node("Checkpoint", ckpt_name="a.safetensors"),
    "2": node("Positive", text="a cat"),
    "3": node("Sampler", steps=20, sampler_name="euler"),
    "4": node("Decode"),
    "5": node("Save", filename_prefix="x"),
}
UNITS = 4 + 20


def after(*updates: tuple[str, float, float, bool]) -> ProgressMeter:
    meter = ProgressMeter.of(GRAPH)
    for node_id, value, maximum, finished in updates:
        meter = meter.update(node_id, value, maximum, finished=finished)
    return meter


def test_a_meter_begins_at_nothing() -> None:
    meter = ProgressMeter.of(GRAPH)
    assert meter.percent == 0
    assert meter.describe() == "Rendering"


def test_a_sampler_step_counts_as_much_as_any_other_node() -> None:
    assert after(("3", 12, 20, False)).percent == 100 * 12 // UNITS
    assert after(("1", 1, 1, True)).percent == 100 // UNITS


def test_it_says_which_step_of_which_node_it_is_at() -> None:
    assert after(("3", 12, 20, False)).describe() == "Sampler: step 12 of 20"
    assert after(("4", 3, 9, False)).describe() == "Decode: 3 of 9"
    assert after(("1", 0, 1, False)).describe() == "Checkpoint"


def test_a_sampler_that_has_yet_to_begin_keeps_the_steps_of_its_graph() -> None:
    meter = after(("3", 0, 1, False), ("3", 1, 20, False))
    assert meter.percent == 100 // UNITS


def test_the_real_number_of_steps_counts_once_it_is_seen() -> None:
    assert after(("3", 6, 12, False)).percent == 100 * 6 // (4 + 12)


def test_a_finished_node_is_whole_whatever_its_last_value_was() -> None:
    assert after(("3", 1, 1, True)).percent == 100 * 20 // UNITS


def test_a_finished_node_stays_finished() -> None:
    assert after(("3", 20, 20, True), ("3", 1, 20, False)).percent == 100 * 20 // UNITS


def test_all_nodes_done_is_99_as_the_record_is_still_to_come() -> None:
    assert after(*((node_id, 1, 1, True) for node_id in GRAPH)).percent == 99


def test_cached_nodes_are_no_part_of_the_work() -> None:
    meter = ProgressMeter.of(GRAPH).cached(["1", "2"]).update("3", 11, 20)
    assert meter.percent == 100 * 11 // (2 + 20)


def test_all_nodes_cached_leaves_nothing_to_measure() -> None:
    assert ProgressMeter.of(GRAPH).cached(list(GRAPH)).percent == 0


def test_a_meter_is_never_changed() -> None:
    meter = ProgressMeter.of(GRAPH)
    meter.update("3", 12, 20)
    assert meter == ProgressMeter.of(GRAPH)


def test_nonsense_from_the_server_changes_nothing() -> None:
    meter = after(("3", 5, 20, False))
    for value, maximum in [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)]:
        assert meter.update("3", value, maximum) is meter
    assert meter.update(None, 1, 1) is meter
    assert meter.update("3", 5, 20) is meter
    assert meter.update("3", -5, 0).percent == meter.percent


def test_nodes_that_only_the_server_knows_are_counted() -> None:
    meter = after(("3:7", 1, 2, False))
    assert meter.describe() == "Node 3:7: 1 of 2"
    assert meter.percent == 100 // (2 * (UNITS + 1))


def test_a_node_that_another_made_while_it_ran_has_the_title_of_what_it_is_shown_as() -> None:
    meter = ProgressMeter.of(GRAPH).update("3.0.0.1", 1, 2, shown_as="3")
    assert meter.describe() == f"{GRAPH['3']['_meta']['title']}: 1 of 2"
    assert meter.update("3.0.0.1", 2, 2).describe().endswith(": 2 of 2")


def test_the_steps_of_a_scheduler_belong_to_the_sampler_behind_it() -> None:
    graph: Graph = {
        "1": node("Scheduler", steps=20),
        "2": node("Sampler", sigmas=["1", 0]),
        "3": node("Save", filename_prefix="x"),
    }
    meter = ProgressMeter.of(graph).update("1", 1, 1, finished=True)
    assert meter.percent == 100 // 22
    assert meter.update("2", 10, 20).percent == 100 * 11 // 22


def test_steps_that_come_through_a_link_are_learnt_from_the_server() -> None:
    graph: Graph = {"1": node("Steps", value=30), "2": node("Sampler", steps=["1", 0])}
    assert ProgressMeter.of(graph).update("2", 15, 30).percent == 100 * 15 // 31


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-5, 50).map(float)
changes = st.lists(
    st.tuples(st.sampled_from([*GRAPH, "unknown"]), numbers, numbers, st.booleans()), max_size=30
)


@given(changes, st.lists(st.sampled_from(list(GRAPH)), max_size=5))
def test_it_stays_between_0_and_99_and_never_goes_back(
    updates: list[tuple[str, float, float, bool]], cached: list[str]
) -> None:
    meter = ProgressMeter.of(GRAPH).cached(cached)
    for node_id, value, maximum, finished in updates:
        later = meter.update(node_id, value, maximum, finished=finished)
        assert 0 <= meter.percent <= later.percent <= 99
        assert later.describe()
        meter = later


@given(st.integers(1, 200))
def test_every_step_of_a_run_is_rounded_down(steps: int) -> None:
    meter = ProgressMeter.of({"1": node("Sampler", steps=steps)})
    for step in range(1, steps + 1):
        meter = meter.update("1", step, steps)
        assert meter.percent == min(99, 100 * step // steps)
