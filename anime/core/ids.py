"""A job's id, and what follows from it: the prompt's id at ComfyUI, and a seed.

And the id of its trace, which follows from the span that submitted it.
"""

import hashlib
from uuid import NAMESPACE_URL, UUID, uuid5

MAX_SEED = 2**64 - 1
_KEYS = uuid5(NAMESPACE_URL, "urn:anime:idempotency-key")


def job_id_of(key: str) -> UUID:
    """The id of the job that is asked for with that idempotency key.

    >>> job_id_of("a") == job_id_of("a"), job_id_of("a") == job_id_of("b")
    (True, False)
    """
    return uuid5(_KEYS, key)


def seed_of(job_id: UUID) -> int:
    """The seed of a job that names none: the same each time the job is run again.

    >>> 0 <= seed_of(UUID(int=7)) <= MAX_SEED
    True
    """
    return int.from_bytes(hashlib.sha256(job_id.bytes).digest()[:8], "big")


def prompt_id_of(job_id: UUID, attempt: int) -> UUID:
    """The id ComfyUI gets for that attempt at a job, known before anything is sent.

    >>> prompt_id_of(UUID(int=7), 1) == prompt_id_of(UUID(int=7), 1)
    True
    >>> prompt_id_of(UUID(int=7), 1) == prompt_id_of(UUID(int=7), 2)
    False
    """
    return uuid5(job_id, f"attempt-{attempt}")


def client_id_of(prompt_id: UUID) -> str:
    """The WebSocket client of a prompt that was sent by a version which gave each its own.

    >>> client_id_of(UUID(int=7))
    'anime-00000000000000000000000000000007'
    """
    return f"anime-{prompt_id.hex}"


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace of a `traceparent`, as W3C Trace Context writes it; None for none.

    >>> trace_id_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    '0af7651916cd43dd8448eb211c80319c'
    """
    return None if traceparent is None else traceparent.split("-")[1]
