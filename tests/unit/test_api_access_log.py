"""The lines that the API logs of requests."""

import logging

import pytest

from anime.api.serve import AccessHandler


def test_lines_of_requests_are_written_together_in_their_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = AccessHandler()
    for path in ("/health", "/metrics"):
        handler.handle(logging.makeLogRecord({"msg": "GET %s", "args": (path,)}))
    assert capsys.readouterr().out == ""
    handler.flush()
    handler.flush()
    assert capsys.readouterr().out == "GET /health\nGET /metrics\n"
