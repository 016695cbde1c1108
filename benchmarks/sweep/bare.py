"""What is indispensable, as a script would do it: in one thread, without any check."""

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

_COLUMNS = (
    "filename, project_id, job_id, file_type, file_path, file_size, metadata, created_at, "
    "organized_at, sha256, source_path, width, height, frames, media_type"
)
_JSON = 6  # the index of the JSON column
# With the same indexes and constraints, but no triggers: nobody searches it.
_TABLE = "CREATE TABLE IF NOT EXISTS bare_files (LIKE anime_api.anime_files INCLUDING ALL)"
_REMEMBERED = (
    "SELECT folder, name, size_bytes, mtime_ns FROM anime_api.swept_files WHERE folder = ANY(%s)"
)

BareRow = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class BareDatabase:
    """PostgreSQL without our layers."""

    url: str  # as libpq takes it

    def rows(self) -> list[BareRow]:
        """All rows of files, to be copied."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute(f"SELECT {_COLUMNS} FROM anime_api.anime_files")  # noqa: S608  ours
            return [(*row[:_JSON], Jsonb(row[_JSON]), *row[_JSON + 1 :]) for row in found]

    def sweep(self, folder: Path, library: Path, rows: Sequence[BareRow]) -> float:
        """Seconds to read, hash and link every file of the folder and to copy the rows."""
        began = time.perf_counter()
        library.mkdir()
        for subfolder, _, names in os.walk(folder):
            (library / Path(subfolder).name).mkdir(exist_ok=True)
            for name in names:
                source = os.path.join(subfolder, name)  # noqa: PTH118  as fast as possible
                with open(source, "rb") as stream:  # noqa: PTH123
                    hashlib.sha256(stream.read()).hexdigest()
                os.link(source, library / Path(subfolder).name / name)
        with psycopg.connect(self.url) as connection:
            connection.execute(_TABLE)
            with connection.cursor().copy(f"COPY bare_files ({_COLUMNS}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        return time.perf_counter() - began

    def scan(self, folder: Path, keys: Sequence[bytes]) -> float:
        """Seconds of a `find` over the folder and a query for what is remembered of it."""
        began = time.perf_counter()
        found = subprocess.run(
            ["find", str(folder), "-type", "f", "-printf", "%p %s %T@\n"],
            check=True,
            capture_output=True,
            timeout=600,
        )
        with psycopg.connect(self.url) as connection, connection.cursor(binary=True) as cursor:
            remembered = cursor.execute(_REMEMBERED, (list(keys),)).fetchall()
        seconds = time.perf_counter() - began
        assert found.stdout.count(b"\n") == len(remembered)  # noqa: S101  else they do not compare
        return seconds

    def empty(self) -> None:
        """Truncate the tables of files, so that their indexes are empty, too.

        A DELETE would leave the index of terms as it is: it would grow in each round, and each
        round would take a tenth longer than the one before.
        """
        with psycopg.connect(self.url) as connection:
            connection.execute("DROP TABLE IF EXISTS bare_files")
            tables = ("anime_files", "swept_files", "searchable_files")
            connection.execute(f"TRUNCATE {', '.join(f'anime_api.{name}' for name in tables)}")

    def run(self, statement: str, *, is_apart: bool = False) -> None:
        """Execute the statement, outside of a transaction if `is_apart`."""
        with psycopg.connect(self.url, autocommit=is_apart) as connection:
            connection.execute(statement.encode())
