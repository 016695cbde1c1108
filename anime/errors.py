"""Everything that can go wrong, in one tree.

AnimeError
├── InvalidRequest            the request cannot be rendered as it is
│   ├── InvalidWorkflow       a graph or its binding file is wrong
│   │   └── WorkflowNotConvertible  no rule says what some nodes become in a graph
│   └── PromptRejected        ComfyUI checked the graph and refused it
├── ComfyUIError              the server, or what it did with a prompt
│   ├── ComfyUIUnreachable    it does not answer, or only with server errors
│   │   └── ComfyUIRefused    its machine answers, and nobody listens at its port
│   ├── PromptLost            the server forgot a prompt that it had accepted
│   ├── PromptInterrupted     somebody stopped the prompt in ComfyUI
│   ├── RenderStalled         no sign of progress for too long
│   ├── ServerIdle            a prompt waited there although nothing ran
│   ├── PromptQuarantined     servers died of the prompt again and again
│   ├── NodeFailed            a node raised while it ran
│   │   ├── OutOfVram         a node ran out of memory
│   │   └── GpuFault          the GPU had a fault that only a restart of ComfyUI heals
│   └── InsufficientVram      the workflow can not fit on this GPU, now or ever
├── StorageError              a file cannot be stored or read
│   ├── StorageUnavailable    a disk or mount does not answer for now
│   │   └── StorageTimedOut   it was waited for long enough, and has not answered
│   └── UnusableFile          a file is empty, damaged, too large or no media
├── BackupFailed              a backup cannot be made, read or restored
├── DatabaseUnavailable       PostgreSQL does not answer or is not migrated
├── PrefectUnavailable        the Prefect API does not answer or lacks the deployment
│   ├── PrefectTimedOut       it has not answered a request, which may be done, in time
│   └── PrefectRefused        it answers, and refuses
├── NotFound                  no such job, file or workflow
│   └── OutputGone            a server does not have, or hand out, a file that its nodes list
├── AlreadyExists             the name is taken
├── TokenMissing              the API needs a token, and the request has none that it knows
├── PageRefused               a page of an unknown origin tries to open a WebSocket
├── QueueFull                 so many jobs wait that no more are accepted
├── TooManyRequests           a token, or an address without one, has sent too many lately
├── KeyReused                 the key or id of a request belongs to another one
├── UnknownHost               a request names another machine as its host
├── BodyTooLarge              a request is longer than the API accepts
├── RangeNotSatisfiable       a file does not have the requested part
├── RequestStalled            the whole request did not arrive in time
├── BatchIncomplete           some generations of a batch have no files
├── DeliveryFailed            a webhook was not delivered
├── LeaseLost                 another run has the lease on this job now
├── JobCancelled              the job was cancelled while the run was under way
├── VaultUnavailable          Vault is sealed, away or slow, and what is asked is not known
└── ConfigurationError        a setting, a port or a program is missing or wrong
    ├── StackError            a part of the local stack died or did not start
    └── VaultRefused          Vault answers, and refuses or has not what a reference names
        ├── VaultDenied       the token is not valid, or may not do that
        └── UnwrapFailed      a wrapped secret_id was opened before, or is not what it should be

Every error says what failed and on what (`what`), what to do next (`todo`), whether the
same call may succeed later (`retryable`), which failure kind a job gets from it (`kind`),
and how HTTP answers (`http_status`, and `slug` for the problem type).
"""

from enum import StrEnum
from typing import Any, ClassVar

from anime.core.conversion.findings import NodeFinding
from anime.core.job_status import FailureKind
from anime.core.prompt_state import RenderPoint

_MOST_REFUSALS = 5  # nodes that the message names; `refusals` has all


class AnimeError(Exception):
    """The root: one sentence on what failed, one on what to do."""

    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500
    kind: ClassVar[FailureKind] = FailureKind.INTERNAL
    slug: ClassVar[str] = "internal"

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what, todo)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.what} {self.todo}".strip()


class InvalidRequest(AnimeError):
    http_status = 422
    kind = FailureKind.INVALID_WORKFLOW
    slug = "invalid-request"


class InvalidWorkflow(InvalidRequest):
    slug = "invalid-workflow"


class WorkflowNotConvertible(InvalidWorkflow):
    """`refusals` has each node that cannot be converted, with the reason."""

    slug = "workflow-not-convertible"

    def __init__(self, refusals: tuple[NodeFinding, ...]) -> None:
        listed = " ".join(map(str, refusals[:_MOST_REFUSALS]))
        more = len(refusals) - _MOST_REFUSALS
        super().__init__(
            f"{listed} … and {more} more." if more > 0 else listed,
            "Install what is missing in ComfyUI, or bypass or replace these nodes in its editor.",
        )
        self.refusals = refusals


class PromptRejected(InvalidRequest):
    """ComfyUI's validation refused the graph. `problems` has a readable line for each fault."""

    slug = "prompt-rejected"

    def __init__(self, what: str, todo: str = "", *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(what, todo)
        self.problems = problems


class ComfyUIError(AnimeError):
    http_status = 502
    slug = "comfyui"


class ComfyUIUnreachable(ComfyUIError):
    retryable = True
    http_status = 503
    kind = FailureKind.COMFYUI_UNREACHABLE
    slug = "comfyui-unreachable"


class ComfyUIRefused(ComfyUIUnreachable):
    """Its machine answers, and nobody listens at the port: the server is dead.

    `died_at`: how far the prompt was that it was seen to render before.
    """

    died_at: RenderPoint | None = None


class PromptLost(ComfyUIError):
    """Absent from queue and history: to be submitted again, as the next attempt.

    `died_at`: how far it was when its server went away, which rendered it.
    """

    kind = FailureKind.LOST
    slug = "prompt-lost"
    died_at: RenderPoint | None = None


class PromptInterrupted(ComfyUIError):
    """Stopped in ComfyUI by somebody else: to be submitted again, as the next attempt."""

    kind = FailureKind.INTERRUPTED
    slug = "prompt-interrupted"


class RenderStalled(ComfyUIError):
    kind = FailureKind.TIMEOUT
    slug = "render-stalled"


class ServerIdle(RenderStalled):
    """The server's worker has died. The prompt is in its queue no longer."""


class PromptQuarantined(ComfyUIError):
    kind = FailureKind.QUARANTINED
    slug = "quarantined"


class NodeFailed(ComfyUIError):
    """A node raised. `node` names it as the artist sees it: title, class and id."""

    kind = FailureKind.NODE_ERROR
    slug = "node-failed"

    def __init__(self, what: str, todo: str = "", *, node: str = "") -> None:
        super().__init__(what, todo)
        self.node = node


class OutOfVram(NodeFailed):
    kind = FailureKind.OUT_OF_MEMORY
    slug = "out-of-memory"


class GpuFault(NodeFailed):
    slug = "gpu-fault"


class InsufficientVram(ComfyUIError):
    """`can_fit_later` is False when the card is too small even when empty."""

    kind = FailureKind.INSUFFICIENT_VRAM
    slug = "insufficient-vram"

    def __init__(self, what: str, todo: str = "", *, can_fit_later: bool = False) -> None:
        super().__init__(what, todo)
        self.can_fit_later = can_fit_later


class StorageError(AnimeError):
    http_status = 507
    kind = FailureKind.STORAGE
    slug = "storage"


class BackupFailed(AnimeError):
    http_status = 507
    kind = FailureKind.STORAGE
    slug = "backup-failed"


class StorageUnavailable(StorageError):
    retryable = True
    http_status = 503
    slug = "storage-unavailable"


class StorageTimedOut(StorageUnavailable):
    """Not retried at once: that would wait as long once more."""

    retryable = False


class UnusableReason(StrEnum):
    """Why the library cannot use a file."""

    EMPTY = "empty"
    TRUNCATED = "truncated"  # it ends before it should; it may still be growing
    UNDECODABLE = "undecodable"  # damaged, or forged
    TOO_LARGE = "too_large"  # to be inspected safely: pixels, frames or bytes
    NOT_MEDIA = "not_media"  # no picture, film or sound of a known kind


class UnusableFile(StorageError):
    http_status = 422
    slug = "unusable-file"

    def __init__(
        self, what: str, todo: str = "", *, reason: UnusableReason = UnusableReason.UNDECODABLE
    ) -> None:
        super().__init__(what, todo)
        self.reason = reason


class DatabaseUnavailable(AnimeError):
    retryable = True
    http_status = 503
    slug = "database-unavailable"


class PrefectUnavailable(AnimeError):
    retryable = True
    http_status = 503
    slug = "prefect-unavailable"


class PrefectTimedOut(PrefectUnavailable):
    pass


class PrefectRefused(PrefectUnavailable):
    pass


class NotFound(AnimeError):
    http_status = 404
    slug = "not-found"


class OutputGone(NotFound):
    kind = FailureKind.STORAGE


class AlreadyExists(AnimeError):
    http_status = 409
    slug = "already-exists"


class TokenMissing(AnimeError):
    http_status = 401
    slug = "token-missing"


class PageRefused(AnimeError):
    http_status = 403
    slug = "page-refused"


class RoleMissing(AnimeError):
    http_status = 403
    slug = "role-missing"


class UnknownHost(AnimeError):
    http_status = 400
    slug = "unknown-host"


class BodyTooLarge(AnimeError):
    http_status = 413
    slug = "body-too-large"


class QueueFull(AnimeError):
    retryable = True
    http_status = 429
    slug = "queue-full"


class TooManyRequests(AnimeError):
    retryable = True
    http_status = 429
    slug = "too-many-requests"

    def __init__(self, what: str, todo: str, *, wait_seconds: int) -> None:
        super().__init__(what, todo)
        self.wait_seconds = wait_seconds


class KeyReused(AnimeError):
    """The second request makes no job; that of the first is left as it is."""

    http_status = 409
    slug = "idempotency-conflict"


class RangeNotSatisfiable(AnimeError):
    http_status = 416
    slug = "range-not-satisfiable"


class RequestStalled(AnimeError):
    retryable = True
    http_status = 408
    slug = "request-stalled"


class BatchIncomplete(AnimeError):
    """The others are done and kept: running the batch again renders only what is missing."""

    http_status = 502
    slug = "batch-incomplete"


class DeliveryFailed(AnimeError):
    """`is_final` if the receiver refuses it for good."""

    retryable = True
    http_status = 502
    slug = "delivery-failed"

    def __init__(self, what: str, todo: str = "", *, is_final: bool = False) -> None:
        super().__init__(what, todo)
        self.is_final = is_final


class LeaseLost(AnimeError):
    """Not a failure of the job: the run that holds the lease goes on with it."""

    http_status = 409
    slug = "lease-lost"


class JobCancelled(AnimeError):
    http_status = 409
    slug = "job-cancelled"


class ConfigurationError(AnimeError):
    slug = "configuration"


class VaultUnavailable(AnimeError):
    retryable = True
    http_status = 503
    slug = "vault-unavailable"


class VaultRefused(ConfigurationError):
    slug = "vault-refused"


class VaultDenied(VaultRefused):
    slug = "vault-denied"


class UnwrapFailed(VaultRefused):
    """An incident: somebody else may have the secret."""

    slug = "unwrap-failed"


class StackError(ConfigurationError):
    """`log_tail` is the end of the log of the part that failed, if it wrote one."""

    slug = "stack"

    def __init__(self, what: str, todo: str = "", *, log_tail: str = "") -> None:
        super().__init__(what, todo)
        self.log_tail = log_tail


def is_retryable(error: BaseException | Any) -> bool:
    """Whether the same call may succeed later, unchanged."""
    return isinstance(error, AnimeError) and error.retryable


def reason_of(fault: BaseException) -> str:
    """Why that happened, for a message: an exception without a text says so by its kind.

    >>> reason_of(TimeoutError()), reason_of(OSError("no space")), reason_of(ConnectionError())
    ('it took too long', 'no space', 'ConnectionError')
    """
    if text := str(fault):
        return text
    return "it took too long" if isinstance(fault, TimeoutError) else type(fault).__name__
