"""What is shown of a job's progress."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from anime.cli.display import LineDisplay
from anime.core.job_status import JobStatus, Stage
from anime.schemas import ProgressEvent


def event(
    status: JobStatus = JobStatus.PROCESSING,
    stage: Stage | None = None,
    progress: int = 0,
    *,
    message: str = "",
    attempt: int = 1,
) -> ProgressEvent:
    return ProgressEvent(
        job_id=UUID(int=1),
        status=status,
        stage=stage,
        progress=progress,
        message=message,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        attempt=attempt,
    )


def shown(events: list[ProgressEvent], capsys: pytest.CaptureFixture[str]) -> list[str]:
    display = LineDisplay()
    for each in events:
        display.show(each)
    written = capsys.readouterr()
    assert written.out == ""
    return [line.strip() for line in written.err.splitlines()]


def test_a_stage_and_each_tenth_get_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    events = [event(JobStatus.QUEUED), event(stage=Stage.CHECKING_VRAM)]
    events += [event(stage=Stage.RENDERING, progress=percent) for percent in range(0, 30, 2)]
    assert shown(events, capsys) == [
        "0 %  queued",
        "0 %  checking vram",
        "0 %  rendering",
        "10 %  rendering",
        "20 %  rendering",
    ]


def test_what_is_behind_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        event(stage=Stage.RENDERING, progress=50, message="step 10 of 20"),
        event(stage=Stage.RENDERING, progress=20),
        event(JobStatus.QUEUED),
    ]
    assert shown(events, capsys) == ["50 %  rendering: step 10 of 20"]


def test_a_new_attempt_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        event(stage=Stage.RENDERING, progress=50),
        event(stage=Stage.SUBMITTING, progress=0, attempt=2),
    ]
    assert shown(events, capsys) == ["50 %  rendering", "0 %  submitting"]
