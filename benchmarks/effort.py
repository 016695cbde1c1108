"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CorpusPlace:
    """Where the workflows to convert are: see `corpus`."""

    templates: str = ""
    object_info: str = ""
    samples: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """The sizes of the series. These take some ten minutes in all."""

    renders: int = 30
    seconds: tuple[float, ...] = (1.0, 0.25)
    rounds: int = 2
    requests: int = 12
    runs: int = 60
    stock_runs: int = 12
    generations: int = 100
    cost_renders: int = 120
    events: int = 100
    submits: int = 500
    status_seconds: float = 5.0
    rows: int = 1_000_000
    corpus: CorpusPlace = CorpusPlace()


# As the figures to reach are defined; about half an hour.
FULL = Effort(
    renders=200,
    rounds=1,
    requests=30,
    runs=200,
    stock_runs=20,
    generations=1000,
    cost_renders=400,
)
