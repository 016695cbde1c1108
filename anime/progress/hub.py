"""The listeners in this process, and the fan-out of each event to those that want it."""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Protocol
from uuid import UUID

from anime.core.event_sequence import EventSequence
from anime.core.shots import ShotEvent
from anime.progress.subscription import Sink, Subscription
from anime.progress.websocket_messages import Update, preview_frame, shot_frame
from anime.schemas import Preview, ProgressEvent

ALL_PROJECTS = "*"
MAX_SEQUENCES = 10_000  # jobs whose order is known for those who watch all of them


class Watcher(Sink, Protocol):
    """A listener that gets the events of every job."""

    @property
    def wants_previews(self) -> bool:
        """Whether it gets the previews of all jobs, too."""

    def follows(self, job_id: UUID) -> bool:
        """Whether it gets the job's events through a subscription of its own."""


class ShotWatcher(Protocol):
    """A listener that gets the events of shots."""

    def put_shot(self, shot_id: UUID, frame: str) -> None:
        """Take an event's frame, in place of an earlier one of that shot that still waits."""


class Hub:
    """The listeners by job. Nothing here waits, so that no listener holds up another."""

    def __init__(self) -> None:
        self._by_job: defaultdict[UUID, set[Subscription]] = defaultdict(set)
        self._last_event_at: dict[UUID, float] = {}
        self._watchers: set[Watcher] = set()
        self._shot_watchers: dict[ShotWatcher, str] = {}  # and of which project, or "*"
        self._sequences: OrderedDict[UUID, EventSequence] = OrderedDict()

    def add(self, subscription: Subscription) -> None:
        """From now on the subscription gets the events of its job."""
        self._by_job[subscription.job_id].add(subscription)
        self._last_event_at.setdefault(subscription.job_id, time.monotonic())

    def remove(self, subscription: Subscription) -> None:
        """It gets no more; it is no error if it got none."""
        job_id = subscription.job_id
        self._by_job[job_id].discard(subscription)
        if not self._by_job[job_id]:
            del self._by_job[job_id]
            self._last_event_at.pop(job_id, None)

    def add_watcher(self, watcher: Watcher) -> None:
        """From now on the watcher gets the events of every job."""
        self._watchers.add(watcher)

    def remove_watcher(self, watcher: Watcher) -> None:
        """It gets no more; it is no error if it got none."""
        self._watchers.discard(watcher)
        if not self._watchers:
            self._sequences.clear()

    def add_shot_watcher(self, watcher: ShotWatcher, project: str) -> None:
        """From now on the watcher gets the events of the project's shots, and of no others."""
        self._shot_watchers[watcher] = project

    def remove_shot_watcher(self, watcher: ShotWatcher) -> None:
        """It gets no more; it is no error if it got none."""
        self._shot_watchers.pop(watcher, None)

    def deliver_shot(self, event: ShotEvent) -> None:
        """Pass the event to everybody who watches its project."""
        frame = shot_frame(event) if self._shot_watchers else ""
        for watcher, project in self._shot_watchers.items():
            if project in (ALL_PROJECTS, event.project):
                watcher.put_shot(event.shot_id, frame)

    def deliver(self, event: ProgressEvent) -> None:
        """Pass the event to every listener that has not had it."""
        update = Update(event)
        if event.job_id in self._last_event_at:
            self._last_event_at[event.job_id] = time.monotonic()
            for subscription in tuple(self._by_job[event.job_id]):
                subscription.deliver(update)
                if subscription.is_over:
                    self.remove(subscription)
        if self._watchers:
            self._deliver_to_watchers(update)

    def deliver_preview(self, preview: Preview) -> None:
        """Pass the picture to every listener that wants it."""
        frame = preview_frame(preview)
        for subscription in self._by_job.get(preview.job_id, ()):
            subscription.deliver_preview(frame)
        for watcher in self._watchers:
            if watcher.wants_previews and not watcher.follows(preview.job_id):
                watcher.put_preview(preview.job_id, frame)

    def known_up_to(self) -> Iterator[tuple[UUID, int]]:
        """The jobs that have listeners, and the number up to which all know them; 0 if none."""
        sequences = self._sequences.items()
        known = {job_id: each.seq for job_id, each in sequences if not each.is_final}
        for job_id, subscriptions in self._by_job.items():
            numbers = {each.sequence.seq for each in subscriptions} | {known.get(job_id, 0)}
            known[job_id] = min(numbers - {0}, default=0)
        yield from known.items()

    def silent(self, seconds: float) -> list[UUID]:
        """The jobs with subscriptions that had no event for so long."""
        before = time.monotonic() - seconds
        return [
            job_id
            for job_id, last_event_at in self._last_event_at.items()
            if last_event_at <= before
        ]

    def requested_previews(self) -> set[UUID | None]:
        """The jobs whose previews a listener wants; None stands for all jobs."""
        requested: set[UUID | None] = {
            job_id
            for job_id, subscriptions in self._by_job.items()
            if any(each.previews for each in subscriptions)
        }
        if any(watcher.wants_previews for watcher in self._watchers):
            requested.add(None)
        return requested

    def _deliver_to_watchers(self, update: Update) -> None:
        event = update.event
        sequence = self._sequences.get(event.job_id, EventSequence())
        if sequence.is_final and event.fence > sequence.fence:  # it had failed, and was requeued
            sequence = EventSequence()
        if not sequence.follows(event):
            return
        sent = sequence.in_order(event)
        self._sequences[event.job_id] = sequence.after(sent)
        self._sequences.move_to_end(event.job_id)
        if len(self._sequences) > MAX_SEQUENCES:
            self._sequences.popitem(last=False)
        new = update if sent is event else Update(sent)
        for watcher in self._watchers:
            if not watcher.follows(event.job_id):
                watcher.put(new)
