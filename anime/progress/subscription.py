"""One listener's subscription to one job: what has to reach it, in order and once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from anime.core.event_sequence import EventSequence
from anime.core.job_status import JobStatus
from anime.progress.snapshot_reader import ProgressSnapshot
from anime.progress.websocket_messages import Update
from anime.schemas import ProgressEvent

MAX_HELD = 256  # updates while a listener is brought up to date; then the latest alone


class Sink(Protocol):
    """What takes a listener's updates and previews. Nothing here waits."""

    def put(self, update: Update) -> None:
        """Take an update."""

    def put_preview(self, job_id: UUID, preview: str) -> None:
        """Take the frame of a preview."""


class Subscription:
    """Holds live updates until the listener has what came before."""

    def __init__(self, job_id: UUID, sink: Sink, *, previews: bool = False) -> None:
        self.job_id = job_id
        self.previews = previews
        self.sequence = EventSequence()
        self._sink = sink
        self._held: list[Update] | None = []

    @property
    def is_over(self) -> bool:
        """Whether the listener has the job's end: nothing follows."""
        return self.sequence.is_final

    def deliver(self, update: Update) -> None:
        """Pass the update on if the listener has not had it, or hold it for `go_live`."""
        if self._held is not None:
            self._hold(self._held, update)
        elif (new := self.admit(update)) is not None:
            self._sink.put(new)

    def deliver_preview(self, preview: str) -> None:
        """Pass a preview on, if the listener wants previews."""
        if self.previews:
            self._sink.put_preview(self.job_id, preview)

    def admit(self, update: Update) -> Update | None:
        """The update as it may be sent, counted as sent from now on; None if it was sent before."""
        event = update.event
        if not self.sequence.follows(event):
            return None
        sent = self.sequence.in_order(event)
        self.sequence = self.sequence.after(sent)
        return update if sent is event else Update(sent)

    def start_from(self, snapshot: ProgressSnapshot) -> None:
        """Count what the snapshot says as sent."""
        if snapshot.event is None:
            return
        self.sequence = EventSequence().after(snapshot.event)
        if not snapshot.is_published:  # the time is the database's, not the publisher's
            self.sequence = replace(self.sequence, told_at=None)

    def catch_up(
        self, seq: int, snapshot: ProgressSnapshot, events: Sequence[ProgressEvent]
    ) -> list[Update]:
        """What has to be sent to a listener that knows everything up to number `seq`.

        `events` are those after it. If the last one is missing, the snapshot says how it ended.
        A failure is none of them if the job was requeued after it.
        """
        told_at = snapshot.event.timestamp if snapshot.event else None
        self.sequence = EventSequence(seq=seq, told_at=told_at)
        updates = [
            self.admit(Update(event))
            for event in events
            if snapshot.is_final or event.status is not JobStatus.FAILED
        ]
        if snapshot.is_final and snapshot.event and not self.is_over:
            if snapshot.seq != seq or not snapshot.is_published:
                updates.append(Update(snapshot.event))
            self.sequence = self.sequence.after(snapshot.event)
        return [update for update in updates if update is not None]

    def go_live(self) -> None:
        """Pass on what was held, and from now on everything at once."""
        held, self._held = self._held or [], None
        for update in held:
            self.deliver(update)

    def _hold(self, held: list[Update], update: Update) -> None:
        if len(held) >= MAX_HELD:
            held.clear()
        held.append(update)
