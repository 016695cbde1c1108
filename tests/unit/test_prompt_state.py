from anime.core.prompt_state import Absent, Finished, Lost, Pending, PromptWatch, Running, Unknown

ACCEPTED = PromptWatch[str](accepted=True, grace_seconds=2.0)


def test_a_sighting_is_the_state() -> None:
    for sighting in (Pending(3), Running(), Finished("entry")):
        assert ACCEPTED.saw(sighting, at=0).state == sighting


def test_f03_one_look_never_proves_a_loss() -> None:
    assert ACCEPTED.saw(Absent(), at=1_000).state == Unknown()


def test_two_looks_too_close_together_prove_nothing() -> None:
    assert ACCEPTED.saw(Absent(), at=10).saw(Absent(), at=11.9).state == Unknown()


def test_absence_that_lasts_is_a_loss() -> None:
    watch = ACCEPTED.saw(Running(), at=0).saw(Absent(), at=10).saw(Absent(), at=12)
    assert watch.state == Lost(restarted=False)


def test_a_prompt_seen_again_is_not_lost_however_often_it_was_missed() -> None:
    watch = ACCEPTED.saw(Absent(), at=0).saw(Running(), at=1).saw(Absent(), at=5)
    assert watch.state == Unknown()
    assert watch.saw(Finished("entry"), at=9).state == Finished("entry")


def test_a_prompt_never_accepted_cannot_be_lost() -> None:
    watch = PromptWatch[str](accepted=False, grace_seconds=2.0)
    assert watch.saw(Absent(), at=0).saw(Absent(), at=60).state == Unknown()


def test_a_sighting_proves_that_the_prompt_was_accepted() -> None:
    watch = PromptWatch[str](accepted=False, grace_seconds=2.0).saw(Pending(0), at=0)
    assert watch.saw(Absent(), at=1).saw(Absent(), at=3).state == Lost(restarted=False)


def test_silence_is_no_absence() -> None:
    watch = ACCEPTED.saw(Absent(), at=0).heard_nothing()
    assert watch.state == Unknown()
    assert watch.heard_nothing().state == Unknown()


def test_a_loss_after_silence_says_that_the_server_restarted() -> None:
    watch = ACCEPTED.saw(Running(), at=0).heard_nothing().saw(Absent(), at=5)
    assert watch.saw(Absent(), at=8).state == Lost(restarted=True)


def test_a_server_that_comes_back_with_the_prompt_has_not_restarted() -> None:
    watch = ACCEPTED.heard_nothing().saw(Running(), at=5)
    assert watch.saw(Absent(), at=6).saw(Absent(), at=9).state == Lost(restarted=False)
