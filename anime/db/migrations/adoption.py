"""Take over what older services left in our schema, losing nothing.

A table of theirs that we go on using gets the columns it lacks, our types and our defaults; its
rows keep their ids and values. What stands in the way (a table of the same name with another
meaning, values of a column that are not of its type) is kept as `…_before_adoption`. All this
happens in the migration's transaction.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from anime.db.models import SCHEMA

_log = logging.getLogger(__name__)

# Types whose values a plain cast keeps. A time without a zone is one of the session's TimeZone.
_PLAIN_CASTS: tuple[tuple[type[Any], tuple[type[Any], ...]], ...] = (  # generic in their values
    (sa.DateTime, (sa.DateTime, sa.Date)),
    (sa.String, (sa.String,)),
    (sa.Integer, (sa.Integer,)),
    (sa.JSON, (sa.JSON,)),
    (sa.Uuid, (sa.Uuid,)),
)
_CAST_OR_NULL = """
    CREATE OR REPLACE FUNCTION pg_temp.cast_or_null(value text, sample anyelement)
    RETURNS anyelement LANGUAGE plpgsql AS $$
    BEGIN
        sample := value;
        RETURN sample;
    EXCEPTION WHEN data_exception THEN
        RETURN NULL;
    END $$
"""
Column = sa.Column[Any]  # of whatever type the table needs


def exists(table: str) -> bool:
    """Whether our schema holds a table of that name."""
    return _inspector().has_table(table, schema=SCHEMA)


def set_aside(table: str) -> None:
    """Rename a table that is not ours, with its indexes, whose names we may need."""
    _rename_indexes(_index_names(table))
    op.rename_table(table, _kept(table), schema=SCHEMA)
    _log.warning("%s.%s was not ours and is now %s.", SCHEMA, table, _kept(table))


def adopt(table: str, columns: Sequence[Column], *, fill: Mapping[str, str]) -> None:
    """Bring a table of older services to the shape of `columns`, the first being its SERIAL key.

    `fill` has SQL for columns that were empty and may not be.
    """
    _drop_rules(table)
    _loosen(table, columns)
    present = {column["name"]: column["type"] for column in _columns(table)}
    for column in columns:
        if column.name in present:
            _convert(table, column, present[column.name])
        else:
            _add(table, column)
    for column in columns[1:]:
        _tighten(table, column, fill.get(column.name))
    _number(table, columns[0].name)
    rows = op.get_bind().scalar(sa.select(sa.func.count()).select_from(_rows(table)))
    _log.info("%s.%s was adopted with its %s rows.", SCHEMA, table, rows)


def _drop_rules(table: str) -> None:
    """Drop what would refuse our rows; the primary key stays, and so does every other index."""
    rules = op.get_bind().scalars(
        sa.text(
            "SELECT conname FROM pg_constraint"
            " WHERE conrelid = CAST(:name AS regclass) AND contype IN ('c', 'f', 'u', 'x')"
        ),
        {"name": _name(table)},
    )
    for rule in rules.all():
        op.drop_constraint(rule, table, schema=SCHEMA)
        _log.info("The constraint %s of %s.%s was dropped.", rule, SCHEMA, table)
    indexes = _inspector().get_indexes(table, schema=SCHEMA)
    for index in indexes:
        if index["unique"] and index["name"]:
            op.drop_index(index["name"], table, schema=SCHEMA)
    _rename_indexes([i["name"] for i in indexes if i["name"] and not i["unique"]])


def _loosen(table: str, columns: Sequence[Column]) -> None:
    """Drop defaults, which may not fit our types, and what other columns demand of a new row."""
    ours = {column.name for column in columns}
    key = _inspector().get_pk_constraint(table, schema=SCHEMA)["constrained_columns"]
    for column in _columns(table):
        name = column["name"]
        if name in ours - {columns[0].name}:
            op.alter_column(table, name, schema=SCHEMA, server_default=None)
        elif name not in ours and name not in key:
            op.alter_column(table, name, schema=SCHEMA, nullable=True)


def _convert(table: str, column: Column, present: sa.types.TypeEngine[Any]) -> None:
    """Give a column its type; values that cannot have it stay in a column beside it."""
    wanted = _sql_type(column.type)
    if _sql_type(present) == wanted:
        return
    if any(isinstance(column.type, to) and isinstance(present, of) for to, of in _PLAIN_CASTS):
        op.alter_column(
            table,
            column.name,
            schema=SCHEMA,
            type_=column.type,
            postgresql_using=f"CAST({column.name} AS {wanted})",
        )
        return
    kept = _kept(column.name)
    op.alter_column(table, column.name, schema=SCHEMA, new_column_name=kept, nullable=True)
    _add(table, column)
    op.execute(_CAST_OR_NULL)
    cast = sa.func.pg_temp.cast_or_null(
        sa.cast(sa.column(kept), sa.Text), sa.cast(sa.null(), column.type)
    )
    op.execute(_rows(table, column.name).update().values({column.name: cast}))
    _drop_if_carried_over(table, kept, column.name)


def _drop_if_carried_over(table: str, kept: str, column: str) -> None:
    is_left = sa.and_(sa.column(kept).is_not(None), sa.column(column).is_(None))
    left = op.get_bind().scalar(sa.select(sa.func.count()).select_from(_rows(table)).where(is_left))
    if left:
        _log.warning("%s values of %s.%s.%s are now in %s.", left, SCHEMA, table, column, kept)
    else:
        op.drop_column(table, kept, schema=SCHEMA)


def _add(table: str, column: Column) -> None:
    op.add_column(table, sa.Column(column.name, column.type, nullable=True), schema=SCHEMA)


def _tighten(table: str, column: Column, filling: str | None) -> None:
    """Give a column its default and, its gaps filled, its NOT NULL."""
    op.alter_column(table, column.name, schema=SCHEMA, server_default=column.server_default)
    if not column.nullable:
        _fill(table, column.name, filling or "DEFAULT")
    op.alter_column(table, column.name, schema=SCHEMA, nullable=bool(column.nullable))


def _fill(table: str, column: str, filling: str) -> None:
    rows = _rows(table, column)
    op.execute(rows.update().values({column: sa.text(filling)}).where(rows.c[column].is_(None)))


def _number(table: str, key: str) -> None:
    """Make the column a SERIAL primary key that goes on after the highest number given out."""
    name, sequence, bind = _name(table), _name(f"{table}_{key}_seq"), op.get_bind()
    following = bind.scalar(
        sa.text("SELECT COALESCE(nextval(pg_get_serial_sequence(:name, :key)), 1)"),
        {"name": name, "key": key},
    )
    op.execute(f"ALTER TABLE {name} ALTER {key} DROP IDENTITY IF EXISTS")
    op.execute(f"CREATE SEQUENCE IF NOT EXISTS {sequence} AS integer")
    op.execute(f"ALTER SEQUENCE {sequence} AS integer OWNED BY {name}.{key}")
    op.execute(f"ALTER TABLE {name} ALTER {key} SET DEFAULT nextval('{sequence}')")
    highest = bind.scalar(sa.select(sa.func.max(sa.column(key))).select_from(_rows(table))) or 0
    after = sa.func.greatest(following, sa.func.nextval(sequence), highest + 1)
    bind.execute(sa.select(sa.func.setval(sequence, after, sa.false())))
    _fill(table, key, "DEFAULT")
    _make_primary(table, key)


def _make_primary(table: str, key: str) -> None:
    present = _inspector().get_pk_constraint(table, schema=SCHEMA)
    old, new = present["name"], f"{table}_pkey"
    if present["constrained_columns"] == [key]:
        if old and old != new:
            op.execute(f"ALTER TABLE {_name(table)} RENAME CONSTRAINT {_quoted(old)} TO {new}")
        return
    if old:
        op.drop_constraint(old, table, schema=SCHEMA)
    op.create_primary_key(new, table, [key], schema=SCHEMA)


def _index_names(table: str) -> Sequence[str]:
    """All indexes, those behind constraints, too."""
    names = sa.text("SELECT indexname FROM pg_indexes WHERE schemaname = :s AND tablename = :t")
    return op.get_bind().scalars(names, {"s": SCHEMA, "t": table}).all()


def _rename_indexes(names: Sequence[str]) -> None:
    for name in names:
        op.execute(f"ALTER INDEX {_name(_quoted(name))} RENAME TO {_quoted(_kept(name))}")


def _columns(table: str) -> Sequence[Any]:  # SQLAlchemy's ReflectedColumn
    return _inspector().get_columns(table, schema=SCHEMA)


def _inspector() -> sa.Inspector:
    """A new one each time: it remembers what it saw, and we change it."""
    return sa.inspect(op.get_bind())


def _kept(name: str) -> str:
    """The name of what is set aside, within PostgreSQL's 63 bytes."""
    return f"{name[:46]}_before_adoption"


def _rows(table: str, *columns: str) -> sa.TableClause:
    return sa.table(table, *(sa.column(name) for name in columns), schema=SCHEMA)


def _name(relation: str) -> str:
    return f"{SCHEMA}.{relation}"


def _quoted(name: str) -> str:
    return op.get_bind().dialect.identifier_preparer.quote(name)


def _sql_type(kind: sa.types.TypeEngine[Any]) -> str:
    return kind.compile(op.get_bind().dialect)
