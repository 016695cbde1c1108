import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.vram import (
    FreedMemory,
    VramOutcome,
    VramReading,
    VramVerdict,
    assess,
    held_by_comfyui,
)

CARD_MB = 24_000


def nvml(free_mb: int, held_mb: int = 0) -> VramReading:
    return VramReading("nvml", total_mb=CARD_MB, free_mb=free_mb, held_by_comfyui_mb=held_mb)


def test_a_workflow_fits_into_what_is_free() -> None:
    verdict = assess(8000, nvml(free_mb=8000))
    assert verdict.fits
    assert verdict.missing_mb == 0
    assert "nvml" in verdict.reason


def test_f22_what_comfyui_holds_counts_as_available() -> None:
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


# What ComfyUI 0.33 takes of a card, in MB: the driver's own reserve, then what the driver says of
# ComfyUI's process with SD 1.5 or SDXL loaded. "Classic" is without dynamic memory, whose pool
# stays. CUDA does not see the reserve, and for the server blocks that torch has free are free.
RESERVE_MB = 615
DYNAMIC = {"idle": 526, "SD 1.5": 2_882, "SDXL": 7_466, "after /free": 830}
CLASSIC = {"idle": 526, "SD 1.5": 3_550, "SDXL": 10_238, "after /free": 10_238}
TORCH_OF_DYNAMIC_MB = 64  # all that the server says of what it holds, whatever it has loaded
CLASSIC_FREE_BLOCKS = {"idle": 0, "SD 1.5": 952, "SDXL": 2_821, "after /free": 9_472}
CLASSIC_POOL = {"idle": 0, "SD 1.5": 2_784, "SDXL": 9_472, "after /free": 9_472}
GB_12, GB_141 = 12_288, 143_771


def by_the_driver(card_mb: int, process_mb: int, others_mb: int = 0) -> VramVerdict:
    free = card_mb - RESERVE_MB - process_mb - others_mb
    held = held_by_comfyui(free, process_mb=process_mb, torch_mb=TORCH_OF_DYNAMIC_MB)
    return assess(8_000, VramReading("nvml", card_mb, free, held))


@pytest.mark.parametrize("card_mb", [GB_12, GB_141])
@pytest.mark.parametrize("process_mb", sorted({*DYNAMIC.values(), *CLASSIC.values()}))
def test_whatever_comfyuis_own_process_holds_is_there_for_its_next_prompt(
    card_mb: int, process_mb: int
) -> None:
    assert by_the_driver(card_mb, process_mb).fits


@pytest.mark.parametrize("process_mb", [526, 2_882])
def test_what_another_program_holds_is_waited_for(process_mb: int) -> None:
    verdict = by_the_driver(GB_12, process_mb, others_mb=4_000)
    assert (verdict.outcome, verdict.missing_mb) == (VramOutcome.WAIT, 327)


def by_a_server_elsewhere(
    card_mb: int, process_mb: int, freed: FreedMemory | None, others_mb: int = 0
) -> VramVerdict:
    total = card_mb - RESERVE_MB
    free = total - process_mb - others_mb
    held = held_by_comfyui(free, torch_mb=TORCH_OF_DYNAMIC_MB, freed=freed)
    return assess(8_000, VramReading("system_stats", total, free, held))


FREE_AFTER_MB = GB_12 - RESERVE_MB - DYNAMIC["after /free"]
FREED_SDXL = FreedMemory(given_back_mb=6_636, free_after_mb=FREE_AFTER_MB)


@pytest.mark.parametrize(
    ("state", "freed", "others_mb", "expected"),
    [
        ("idle", None, 0, VramOutcome.FITS),
        ("SD 1.5", None, 0, VramOutcome.FITS),
        ("SDXL", None, 0, VramOutcome.WAIT),  # nothing tells whose it is, until /free has told
        ("after /free", FREED_SDXL, 0, VramOutcome.FITS),
        ("SDXL", FREED_SDXL, 0, VramOutcome.FITS),  # loaded again: neither freed nor waited for
        ("SDXL", FREED_SDXL, 3_000, VramOutcome.WAIT),  # and another program came
        ("after /free", None, 9_000, VramOutcome.WAIT),
    ],
)
def test_what_free_gave_back_counts_when_it_is_loaded_again(
    state: str, freed: FreedMemory | None, others_mb: int, expected: VramOutcome
) -> None:
    verdict = by_a_server_elsewhere(GB_12, DYNAMIC[state], freed, others_mb)
    assert verdict.outcome is expected


@pytest.mark.parametrize("state", list(CLASSIC))
def test_without_dynamic_memory_the_server_says_itself_what_it_holds(state: str) -> None:
    total = GB_12 - RESERVE_MB
    free = total - CLASSIC[state] + CLASSIC_FREE_BLOCKS[state]
    held = held_by_comfyui(free, torch_mb=CLASSIC_POOL[state] - CLASSIC_FREE_BLOCKS[state])
    assert assess(8_000, VramReading("system_stats", total, free, held)).fits


@given(st.integers(0, 50_000), st.integers(0, 50_000), st.integers(0, 50_000))
def test_no_more_counts_as_held_than_is_missing_since_then(
    given_back: int, free_after: int, free: int
) -> None:
    held = held_by_comfyui(free, torch_mb=0, freed=FreedMemory(given_back, free_after))
    assert 0 <= held <= given_back
    assert free + held <= max(free, free_after)
