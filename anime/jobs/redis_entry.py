"""Parsing a job that other programs have written into Redis."""

from collections.abc import Mapping
from uuid import UUID

from anime.core.field_errors import checked
from anime.core.strict_json import RepeatedKey, load_json
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest

_NO_PROJECT = frozenset({"", "None", "null"})  # as programs write an id they do not have
_TODO = "Write the hash anew and push the id again."


def job_id_of(entry: str) -> UUID:
    """The id of the job in an entry of the queue.

    It is also the name of the hash that its owner watches, so that no other spelling is accepted.

    Raises:
        InvalidRequest: it is not a UUID in lower case with hyphens.
    """
    try:
        job_id = UUID(entry)
    except ValueError:
        job_id = None
    if job_id is None or str(job_id) != entry:
        raise InvalidRequest(
            f"The id {entry[:64]!r} is no UUID in lower case with hyphens.", "Use such an id."
        )
    return job_id


def project_id_of(fields: Mapping[str, str]) -> UUID | str | None:
    """The project's id, or its name where it is no id; None without a project."""
    text = fields.get("project_id", "")
    if text in _NO_PROJECT:
        return None
    try:
        return UUID(text)
    except ValueError:
        return text


def request_of(fields: Mapping[str, str], project: str | None) -> GenerationRequest:
    """The request in the hash, in that project.

    Raises:
        InvalidRequest: a sentence for each field that is refused.
    """
    if "params" not in fields:
        raise InvalidRequest("There is no hash with params for this id.", _TODO)
    try:
        params = load_json(fields["params"])
    except RepeatedKey as fault:
        raise InvalidRequest(f"Its params are refused: {fault}.", _TODO) from None
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise InvalidRequest("Its params are no JSON object.", _TODO)
    top_level = {"type": fields.get("type") or "image", "project": project}
    given = params | {name: value for name, value in top_level.items() if value is not None}
    return checked(GenerationRequest, given, _TODO)
