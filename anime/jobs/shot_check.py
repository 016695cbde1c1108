"""Whether shots can be rendered as they are: every fault at once, before anything is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.composition.record import Composition
from anime.core.shot_list import ListRow, ShotList
from anime.core.shots import ShotFields
from anime.db.repositories import ProjectKey, ServerRepository, ShotRepository
from anime.jobs.admission import Admission
from anime.schemas import GenerationRequest

_Fault = tuple[list[str], str]  # of which requests, and what it is


async def request_faults(
    admission: Admission,
    session: AsyncSession,
    requests: Mapping[str, GenerationRequest],
    compositions: Sequence[Composition | None],
) -> list[str]:
    """A sentence for each fault: workflows that cannot take what is asked, models nobody has.

    `requests` are by what the sentences call them, such as `Shot sc1`; `compositions` are theirs.
    """
    found = await _faults_of_requests(admission, session, requests, compositions)
    return [f"{_named(names)}: {fault}" for names, fault in found]


async def list_faults(
    admission: Admission, session: AsyncSession, project: ProjectKey, listed: ShotList
) -> list[str]:
    """The same of a list, by its rows, and characters that are not known."""
    found = await _faults_of_list(admission, session, project, listed)
    return [f"{_named(names)}: {fault}" for names, fault in found]


async def row_faults(
    admission: Admission, session: AsyncSession, project: ProjectKey, listed: ShotList
) -> dict[int, list[str]]:
    """The same for each row, by its number."""
    numbers = {_row_name(row): row.number for row in listed.rows}
    by_row: defaultdict[int, list[str]] = defaultdict(list)
    for names, fault in await _faults_of_list(admission, session, project, listed):
        for name in names:
            by_row[numbers[name]].append(fault)
    return dict(by_row)


async def _faults_of_requests(
    admission: Admission,
    session: AsyncSession,
    requests: Mapping[str, GenerationRequest],
    compositions: Sequence[Composition | None],
) -> list[_Fault]:
    names = list(requests)
    found = await admission.faults(list(requests.values()), compositions)
    faults = [([names[place] for place in places], fault.what) for places, fault in found]
    rendered = {
        name: made.request if made else request
        for (name, request), made in zip(requests.items(), compositions, strict=True)
    }
    return faults + await _missing_models(session, rendered)


async def _faults_of_list(
    admission: Admission, session: AsyncSession, project: ProjectKey, listed: ShotList
) -> list[_Fault]:
    named = {_row_name(row): shot for row, shot in zip(listed.rows, listed.shots, strict=True)}
    requests = {
        name: request
        for name, shot in named.items()
        if (request := shot.request(project.slug)) is not None
    }
    compositions = await admission.composer.compose_all(session, list(requests.values()))
    faults = await _faults_of_requests(admission, session, requests, compositions)
    return faults + await _unknown_characters(session, project.id, named)


async def _missing_models(
    session: AsyncSession, requests: Mapping[str, GenerationRequest]
) -> list[_Fault]:
    """Models that no server has, where some server has said what it has."""
    wanted = _by_value((name, [each.model]) for name, each in requests.items() if each.model)
    if not wanted:
        return []
    servers = await ServerRepository(session).list_all()
    there = {name for server in servers for names in server.offers.values() for name in names}
    if not there:
        return []
    return [
        (names, f"no server has the model {model!r}.")
        for model, names in wanted.items()
        if model not in there
    ]


async def _unknown_characters(
    session: AsyncSession, project_id: UUID, shots: Mapping[str, ShotFields]
) -> list[_Fault]:
    wanted = _by_value((name, shot.characters) for name, shot in shots.items())
    unknown = await ShotRepository(session).unknown_characters(project_id, list(wanted))
    return [
        (names, f"there is no character {character!r}.")
        for character, names in wanted.items()
        if character in unknown
    ]


def _row_name(row: ListRow) -> str:
    return f"{row.unit} {row.number}"


def _by_value(found: Iterable[tuple[str, Iterable[str | None]]]) -> dict[str, list[str]]:
    """Who has each value."""
    having: defaultdict[str, list[str]] = defaultdict(list)
    for name, values in found:
        for value in values:
            if value:
                having[value].append(name)
    return dict(having)


def _named(names: list[str]) -> str:
    """The first one, and how many more."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
