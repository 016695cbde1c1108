"""A program that knows nothing of ours: it speaks SQL to a URL."""

from typing import Any

import psycopg
from sqlalchemy import make_url


async def execute(url: str, statement: str) -> list[tuple[Any, ...]]:  # values of any type
    """The rows that the statement gives, if any."""
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await psycopg.AsyncConnection.connect(address, autocommit=True, connect_timeout=60)
    async with connection:
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []
