"""What is shown of a job's progress."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from anime.cli.batch_display import BatchBarsDisplay, open_batch_display
from anime.cli.display import JobLinesDisplay, open_bars
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
    display = JobLinesDisplay()
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


def test_the_stage_of_a_late_row_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The row follows the run by a heartbeat, and Redis tells of each step at once."""
    events = [
        event(stage=Stage.SUBMITTING),
        event(stage=Stage.CHECKING_VRAM),
        event(stage=None),
        event(stage=Stage.RENDERING, progress=10),
        event(stage=Stage.SUBMITTING, progress=0),
        event(JobStatus.COMPLETED, progress=100),
        event(stage=Stage.RECORDING, progress=99),
    ]
    assert shown(events, capsys) == ["0 %  submitting", "10 %  rendering", "100 %  completed"]


def test_a_new_attempt_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        event(stage=Stage.RENDERING, progress=50),
        event(stage=Stage.SUBMITTING, progress=0, attempt=2),
    ]
    assert shown(events, capsys) == ["50 %  rendering", "0 %  submitting"]


def test_of_a_batch_each_end_gets_one_line_and_other_jobs_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two, other = UUID(int=1), UUID(int=2), UUID(int=3)
    with open_batch_display("rooftops", {one: "dusk", two: "dawn"}) as display:
        for job_id, status in [
            (one, JobStatus.PROCESSING),
            (other, JobStatus.COMPLETED),
            (one, JobStatus.COMPLETED),
            (one, JobStatus.COMPLETED),
            (two, JobStatus.FAILED),
        ]:
            display.show(event(status, message="why").model_copy(update={"job_id": job_id}))
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2  completed  dusk",
        "2 of 2, 1 without files  failed  dawn: why",
    ]


def test_a_batch_has_a_bar_for_the_whole_and_for_what_is_under_way() -> None:
    one, two = UUID(int=1), UUID(int=2)
    bars = open_bars()
    display = BatchBarsDisplay(bars, "rooftops", {one: "dusk", two: "dawn"})
    display.show(event(stage=Stage.RENDERING, progress=40, message="step 8"))
    assert [(bar.fields["title"].strip(), bar.completed) for bar in bars.tasks] == [
        ("rooftops", 0),
        ("dusk", 40),
    ]
    display.show(event(stage=Stage.SUBMITTING, progress=20))  # late: a row
    display.show(event(JobStatus.QUEUED))
    [_, bar] = bars.tasks
    assert (bar.completed, bar.description, bar.fields["message"]) == (40, "rendering", "step 8")
    display.show(event(JobStatus.COMPLETED, progress=100))
    display.show(event(stage=Stage.RENDERING, progress=90))  # late: it has ended
    assert [(bar.fields["title"], bar.completed) for bar in bars.tasks] == [("rooftops", 1)]
