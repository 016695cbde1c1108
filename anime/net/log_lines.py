"""Log lines of our programs: text for people, or JSON, one object a line."""

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID

from anime.net.tracing import current_trace_id
from anime.settings import Settings

# Job and trace: the last lines of a run come when its span has ended.
_ids_in_logs: ContextVar[Mapping[str, str]] = ContextVar(
    "ids_in_logs", default=MappingProxyType({})
)
_OF_PREFECT = ("flow_run_id", "task_run_id")  # on lines of runs


def name_job_in_logs(job_id: UUID) -> None:
    """Name the job, and the current trace, in what this task logs from now on."""
    _ids_in_logs.set({"job_id": str(job_id), **_ids_of_span()})


def write_logs(settings: Settings) -> None:
    """Write the log of this process to its standard error, as the settings say."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter()
        if settings.log_format == "json"
        else logging.Formatter("%(levelname)s:     %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """A line with time, level, logger and message; with job, trace and run where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {**_ids_in_logs.get(), **_ids_of_span()}
        for name in _OF_PREFECT:
            if (run_id := getattr(record, name, None)) is not None:
                line[name] = str(run_id)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _ids_of_span() -> dict[str, str]:
    trace_id = current_trace_id()
    return {} if trace_id is None else {"trace_id": trace_id}
