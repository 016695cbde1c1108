"""Which runs a worker takes for those of a dead one."""

from prefect.client.schemas.objects import StateType

from anime.worker.orphans import MAX_DEATHS, UNCLAIMED_SECONDS, Observation, OrphanDecision, decide
from anime.worker.process_identity import ProcessIdentity


def sighting(
    state: StateType = StateType.RUNNING,
    *,
    seconds: float = 1.0,
    owned: bool = True,
    gone: bool = True,
    deaths: int = 1,
) -> Observation:
    return Observation(state, seconds, is_owned=owned, owner_is_gone=gone, deaths=deaths)


def test_the_runs_of_a_dead_worker_are_given_anew() -> None:
    for state in (StateType.RUNNING, StateType.PENDING):
        assert decide(sighting(state)) is OrphanDecision.HANDED_BACK


def test_the_runs_of_a_live_worker_are_left_alone() -> None:
    assert decide(sighting(gone=False, seconds=1e6)) is OrphanDecision.LEFT_ALONE


def test_runs_of_another_kind_of_worker_are_left_alone() -> None:
    assert decide(sighting(owned=True, gone=False)) is OrphanDecision.LEFT_ALONE


def test_a_run_nobody_signed_is_left_alone_until_nobody_can_be_about_to() -> None:
    young = sighting(StateType.PENDING, owned=False, gone=False, seconds=UNCLAIMED_SECONDS - 1)
    old = sighting(StateType.PENDING, owned=False, gone=False, seconds=UNCLAIMED_SECONDS + 1)
    assert (decide(young), decide(old)) == (OrphanDecision.LEFT_ALONE, OrphanDecision.HANDED_BACK)


def test_a_running_run_that_no_worker_ever_signed_was_started_by_hand() -> None:
    by_hand = sighting(StateType.RUNNING, owned=False, gone=False, seconds=1e6)
    assert decide(by_hand) is OrphanDecision.LEFT_ALONE


def test_a_run_that_was_with_too_many_dead_workers_is_given_up() -> None:
    assert decide(sighting(deaths=MAX_DEATHS - 1)) is OrphanDecision.HANDED_BACK
    assert decide(sighting(deaths=MAX_DEATHS)) is OrphanDecision.CRASHED


def test_a_cancellation_nobody_can_confirm_is_settled() -> None:
    assert decide(sighting(StateType.CANCELLING, deaths=MAX_DEATHS)) is OrphanDecision.CANCELLED


def test_a_cancellation_of_a_run_nobody_signed_is_settled_once_nobody_can_be_about_to() -> None:
    for seconds, fate in ((-1, OrphanDecision.LEFT_ALONE), (1, OrphanDecision.CANCELLED)):
        seen = sighting(
            StateType.CANCELLING, owned=False, gone=False, seconds=UNCLAIMED_SECONDS + seconds
        )
        assert decide(seen) is fate


def test_an_owner_is_read_back_as_it_was_written() -> None:
    owner = ProcessIdentity("host-a", 17, "0f3c")
    assert ProcessIdentity.parse(str(owner)) == owner


def test_what_other_workers_write_is_no_owner() -> None:
    for text in (
        None,
        "",
        "4711",
        "host:4711",
        "anime-warm/host/x/1",
        "anime-warm/host/1/x",
        "other/host/1/1",
    ):
        assert ProcessIdentity.parse(text) is None
