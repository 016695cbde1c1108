"""Many values as one parameter of a statement.

The driver takes each parameter of a statement in hand: five hundred hashes, or the columns of
as many rows, cost it more than they cost PostgreSQL. So they go as one array, or one JSON text.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import ColumnElement, any_, bindparam, column, func, inspect, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from anime.db.models import SCHEMA, Base

T = TypeVar("T")

_INSERT_MISSING = """
    INSERT INTO {table} ({columns})
    SELECT {columns}
    FROM json_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS json)) AS new
    ON CONFLICT DO NOTHING
    RETURNING {returning}
"""


def is_among(column: InstrumentedAttribute[T], values: Collection[Any]) -> ColumnElement[bool]:
    """The condition that the column has one of those values, of its type."""
    asked = bindparam(None, list(values), type_=ARRAY(column.type), unique=True)
    return column == any_(asked)


async def insert_missing(
    session: AsyncSession,
    model: type[Base],
    rows: Sequence[Mapping[str, object]],
    *,
    returning: str,
) -> list[Any]:
    """That column of the rows that were added: those that none was in the way of.

    Args:
        session: The transaction.
        model: Whose rows they are.
        rows: Values by attribute of the model; all have the same ones.
        returning: A column.
    """
    if not rows:
        return []
    names = {each.key: each.columns[0].name for each in inspect(model).column_attrs}
    statement = _INSERT_MISSING.format(
        table=f"{SCHEMA}.{model.__tablename__}",
        columns=", ".join(f'"{names[key]}"' for key in rows[0]),
        returning=returning,
    )
    columns = [{names[key]: value for key, value in row.items()} for row in rows]
    added = await session.scalars(text(statement), {"rows": to_json(columns).decode()})
    return list(added)


def rows_of_arrays(
    name: str, **columns: tuple[str, type[TypeEngine[Any]]]
) -> Any:  # rows of a function
    """Rows of arrays, named by parameter and type for each column."""
    arrays = (bindparam(each, type_=ARRAY(kind)) for each, kind in columns.values())
    names = (column(each, kind) for each, (_, kind) in columns.items())
    return func.unnest(*arrays).table_valued(*names).render_derived(name=name)
