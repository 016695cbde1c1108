"""Which runs a worker takes for those of a dead one."""

from prefect.client.schemas.objects import StateType

from anime.warm.owner import Owner
from anime.warm.rescue import MAX_STARTS, UNCLAIMED_SECONDS, Fate, Sighting, fate_of


def sighting(
    state: StateType = StateType.RUNNING,
    *,
    seconds: float = 1.0,
    owned: bool = True,
    gone: bool = True,
    starts: int = 1,
) -> Sighting:
    return Sighting(state, seconds, is_owned=owned, owner_is_gone=gone, starts=starts)


def test_the_runs_of_a_dead_worker_are_given_anew() -> None:
    for state in (StateType.RUNNING, StateType.PENDING):
        assert fate_of(sighting(state)) is Fate.GIVEN_ANEW


def test_the_runs_of_a_live_worker_are_left_alone() -> None:
    assert fate_of(sighting(gone=False, seconds=1e6)) is Fate.LEFT_ALONE


def test_runs_of_another_kind_of_worker_are_left_alone() -> None:
    assert fate_of(sighting(owned=True, gone=False)) is Fate.LEFT_ALONE


def test_a_run_nobody_signed_is_left_alone_until_nobody_can_be_about_to() -> None:
    young = sighting(StateType.PENDING, owned=False, gone=False, seconds=UNCLAIMED_SECONDS - 1)
    old = sighting(StateType.PENDING, owned=False, gone=False, seconds=UNCLAIMED_SECONDS + 1)
    assert (fate_of(young), fate_of(old)) == (Fate.LEFT_ALONE, Fate.GIVEN_ANEW)


def test_a_running_run_that_no_worker_ever_signed_was_started_by_hand() -> None:
    by_hand = sighting(StateType.RUNNING, owned=False, gone=False, seconds=1e6)
    assert fate_of(by_hand) is Fate.LEFT_ALONE


def test_a_run_that_was_with_too_many_dead_workers_is_given_up() -> None:
    assert fate_of(sighting(starts=MAX_STARTS - 1)) is Fate.GIVEN_ANEW
    assert fate_of(sighting(starts=MAX_STARTS)) is Fate.GIVEN_UP


def test_a_cancellation_nobody_can_confirm_is_settled() -> None:
    assert fate_of(sighting(StateType.CANCELLING, starts=MAX_STARTS)) is Fate.CANCELLED


def test_a_cancellation_of_a_run_nobody_signed_is_settled_once_nobody_can_be_about_to() -> None:
    for seconds, fate in ((-1, Fate.LEFT_ALONE), (1, Fate.CANCELLED)):
        seen = sighting(
            StateType.CANCELLING, owned=False, gone=False, seconds=UNCLAIMED_SECONDS + seconds
        )
        assert fate_of(seen) is fate


def test_an_owner_is_read_back_as_it_was_written() -> None:
    owner = Owner("host-a", 17, 1_700_000_000_000)
    assert Owner.parse(str(owner)) == owner


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
        assert Owner.parse(text) is None
