"""Which references there are in settings and blocks, and whether each resolves: never its value."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from anime.core.secret_references import SecretReference, references_in
from anime.errors import AnimeError
from anime.net.vault.resolver import RESOLVER
from anime.settings import RESOLVED_LATER, Settings, resolve_reference
from anime.settings.tokens import token_texts
from anime.settings.variables import texts_resolved_at_once, variable_of
from anime.settings.vault import PROOFS, RESOLVED_AT_LOGIN


class CheckedReference(BaseModel):
    """One reference. `seconds_left` is None where nobody takes the value back."""

    where: str
    reference: str
    resolves: bool
    seconds_left: float | None = None
    error: str | None = None
    todo: str | None = None


def texts_of(settings: Settings) -> Iterator[tuple[str, str]]:
    """The variable and the text of each setting that may have a reference."""
    yield from texts_resolved_at_once()
    yield from texts_resolved_later(settings)


def texts_resolved_later(settings: Settings) -> Iterator[tuple[str, str]]:
    """The same of those that are resolved when something connects."""
    for name in sorted(RESOLVED_LATER - {"api_token", "api_users", "comfyui_url"}):
        yield from _texts(variable_of(name), getattr(settings, name))
    yield from _texts(variable_of("comfyui_headers"), settings.comfyui_headers)
    yield from ((variable_of("comfyui_url"), text) for text in settings.comfyui_texts)
    yield from token_texts(settings)
    for name, proof in (settings.vault.proofs if settings.vault else {}).items():
        yield from _texts(f"ANIME_VAULT_{name.upper()}", proof)


def texts_of_block(name: str, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The same of a block's document in Prefect; of Vault's, what its way to log in shows."""
    shown = PROOFS.get(str(data.get("auth")), RESOLVED_AT_LOGIN)
    for field, value in data.items():
        if field not in RESOLVED_AT_LOGIN or field in shown:
            yield from _texts(f"{name}.{field}", value)


def references_of(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, SecretReference]]:
    """Each reference of the texts, and where it stands."""
    return ((where, each) for where, text in texts for each in references_in(text))


def check_references(texts: Iterable[tuple[str, str]]) -> list[CheckedReference]:
    """Each reference of the texts, resolved now; it may wait for Vault."""
    return [_checked(where, each) for where, each in references_of(texts)]


def _texts(where: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case SecretStr():
            yield where, value.get_secret_value()
        case str():
            yield where, value
        case dict():  # such as headers, by name
            for name, each in value.items():
                yield from _texts(f"{where}[{name}]", each)
        case list():
            for each in value:
                yield from _texts(where, each)


def _checked(where: str, reference: SecretReference) -> CheckedReference:
    try:
        resolve_reference(str(reference))
    except AnimeError as fault:
        return CheckedReference(
            where=where,
            reference=str(reference),
            resolves=False,
            error=fault.what,
            todo=fault.todo,
        )
    seconds_left = RESOLVER.seconds_left(reference.name) if reference.scheme == "vault" else None
    return CheckedReference(
        where=where, reference=str(reference), resolves=True, seconds_left=seconds_left
    )
