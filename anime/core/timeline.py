"""The kinds of entries in a job's timeline."""

from enum import StrEnum


class TimelineKind(StrEnum):
    """What an entry is about."""

    SUBMITTED = "submitted"  # the job's row was inserted
    RUN = "run"  # a run in Prefect was made for it, began it, or ended without finishing it
    SERVER = "server"  # a server was chosen for it, and why
    ATTEMPT = "attempt"  # an attempt began or ended
    DECISION = "decision"  # the monitor or a policy decided something by itself
    PERSON = "person"  # somebody cancelled, requeued or released it
    END = "end"  # it completed, failed or was cancelled
