"""One id for everything: what ComfyUI is told follows from the job's id."""

from uuid import UUID, uuid5


def prompt_id_of(job_id: UUID, attempt: int) -> UUID:
    """The id ComfyUI gets for that attempt at a job, known before anything is sent.

    >>> prompt_id_of(UUID(int=7), 1) == prompt_id_of(UUID(int=7), 1)
    True
    >>> prompt_id_of(UUID(int=7), 1) == prompt_id_of(UUID(int=7), 2)
    False
    """
    return uuid5(job_id, f"attempt-{attempt}")


def client_id_of(prompt_id: UUID) -> str:
    """The websocket session that gets the prompt's events: one a prompt, never shared.

    >>> client_id_of(UUID(int=7))
    'anime-00000000000000000000000000000007'
    """
    return f"anime-{prompt_id.hex}"
