import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.vram import VramOutcome, VramReading, assess

CARD_MB = 24_000


def nvml(free_mb: int, held_mb: int = 0) -> VramReading:
    return VramReading("nvml", total_mb=CARD_MB, free_mb=free_mb, held_by_comfyui_mb=held_mb)


def test_a_workflow_fits_into_what_is_free() -> None:
    verdict = assess(8000, nvml(free_mb=8000))
    assert verdict.fits
    assert verdict.missing_mb == 0
    assert "nvml" in verdict.reason


def test_what_comfyui_holds_counts_as_available() -> None:
    assert assess(8000, nvml(free_mb=1000, held_mb=7000)).fits


def test_it_waits_while_others_hold_too_much_and_says_how_much_is_missing() -> None:
    verdict = assess(8000, nvml(free_mb=1000, held_mb=500))
    assert verdict.outcome is VramOutcome.WAIT
    assert verdict.missing_mb == 6500
    assert "6500 MB" in verdict.reason


def test_a_workflow_larger_than_the_card_never_fits() -> None:
    verdict = assess(CARD_MB + 1, nvml(free_mb=CARD_MB))
    assert verdict.never
    assert verdict.missing_mb == 1
    assert "24000 MB in all" in verdict.reason


def test_a_workflow_exactly_as_large_as_the_card_may_fit() -> None:
    assert assess(CARD_MB, nvml(free_mb=CARD_MB)).fits


@pytest.mark.parametrize(
    "reading",
    [
        VramReading("system_stats", total_mb=4000, free_mb=100, device_type="cpu"),
        VramReading("unknown", total_mb=0, free_mb=0),
        VramReading("system_stats", total_mb=0, free_mb=0),
    ],
)
def test_without_a_gpu_that_can_be_read_it_goes_ahead_and_says_so(reading: VramReading) -> None:
    verdict = assess(8000, reading)
    assert verdict.fits
    assert "no VRAM to check" in verdict.reason or "not checked" in verdict.reason


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_need_of_nothing_always_fits(total: int, free: int, held: int) -> None:
    assert assess(0, VramReading("nvml", total, free, held)).fits


@given(st.integers(0, 50_000), st.integers(0, 50_000), st.integers(0, 50_000))
def test_more_memory_never_makes_a_verdict_worse(need: int, free: int, more: int) -> None:
    order = [VramOutcome.NEVER, VramOutcome.WAIT, VramOutcome.FITS]
    before = assess(need, VramReading("nvml", 50_000, free)).outcome
    after = assess(need, VramReading("nvml", 50_000, free + more)).outcome
    assert order.index(after) >= order.index(before)
