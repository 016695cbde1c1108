from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from anime.core.ids import MAX_SEED, seed_of


@given(st.uuids())
def test_a_derived_seed_lies_between_0_and_2_to_the_64(job_id: UUID) -> None:
    assert 0 <= seed_of(job_id) <= MAX_SEED


def test_the_same_job_gets_the_same_seed_each_time() -> None:
    assert seed_of(UUID(int=7)) == seed_of(UUID(int=7))


def test_different_jobs_get_different_seeds() -> None:
    assert len({seed_of(UUID(int=number)) for number in range(500)}) == 500


def test_derived_seeds_use_the_whole_range() -> None:
    seeds = [seed_of(UUID(int=number)) for number in range(500)]
    assert min(seeds) < MAX_SEED // 50
    assert max(seeds) > MAX_SEED - MAX_SEED // 50
