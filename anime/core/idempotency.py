"""What makes the same request, sent twice, one job."""

from uuid import NAMESPACE_URL, UUID, uuid5

_KEYS = uuid5(NAMESPACE_URL, "urn:anime:idempotency-key")


def job_id_of(key: str) -> UUID:
    """The id of the job that is asked for with that idempotency key.

    >>> job_id_of("a") == job_id_of("a"), job_id_of("a") == job_id_of("b")
    (True, False)
    """
    return uuid5(_KEYS, key)
