"""Jobs and files are counted as they change, and jobs are found by character and by their end.

Counting three million rows takes a second, a sum over the counters less than a millisecond. A
change appends a row, so that no two writers wait for each other; every thousandth change folds
what has come together into one row a counter, unless somebody folds already.

No table is locked for longer than it takes to make a trigger. An upgrade that is cut short
leaves the former revision; the next one begins anew.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
INDEX_WAIT = "10min"  # for transactions that began before; nobody waits for us meanwhile
FOLDING = 0x666F6C64  # "fold": whoever folds holds this advisory lock

JOB_COUNTER = "'jobs/' || {row}.status || '/' || coalesce({row}.error_kind, '')"
FILE_COUNTER = "'files/organised'"

# Whoever may write jobs and files need not have rights on our tables: the functions have them.
FUNCTION = """
    CREATE FUNCTION anime_api.{name}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN {body}; RETURN NULL; END $$
"""
APPEND = "INSERT INTO anime_api.counter_changes (name, change)"
FORGET = f"""
    PERFORM pg_advisory_xact_lock({FOLDING});
    DELETE FROM anime_api.counter_changes WHERE starts_with(name, TG_ARGV[0]);
    DELETE FROM anime_api.counters WHERE starts_with(name, TG_ARGV[0])
"""
FOLD = f"""
    IF pg_try_advisory_xact_lock({FOLDING}) THEN
        WITH folded AS (DELETE FROM anime_api.counter_changes RETURNING name, change)
        INSERT INTO anime_api.counters (name, value)
        SELECT name, sum(change) FROM folded GROUP BY name
        ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value;
    END IF
"""
FUNCTIONS = {
    "count_new_jobs": f"""
        {APPEND} SELECT {JOB_COUNTER.format(row="come")}, count(*) FROM come GROUP BY 1
    """,
    "count_lost_jobs": f"""
        {APPEND} SELECT {JOB_COUNTER.format(row="gone")}, -count(*) FROM gone GROUP BY 1
    """,
    "count_changed_job": f"""
        {APPEND} VALUES
            ({JOB_COUNTER.format(row="OLD")}, -1), ({JOB_COUNTER.format(row="NEW")}, 1)
    """,
    "count_new_files": f"""
        {APPEND} SELECT {FILE_COUNTER}, count(*) FROM come
        WHERE organized_at IS NOT NULL HAVING count(*) > 0
    """,
    "count_lost_files": f"""
        {APPEND} SELECT {FILE_COUNTER}, -count(*) FROM gone
        WHERE organized_at IS NOT NULL HAVING count(*) > 0
    """,
    "count_changed_file": f"""
        {APPEND} VALUES ({FILE_COUNTER}, CASE WHEN NEW.organized_at IS NULL THEN -1 ELSE 1 END)
    """,
    "forget_counters": FORGET,
    "fold_counters": FOLD,
}
STATEMENT, ROW = "FOR EACH STATEMENT", "FOR EACH ROW WHEN ({})"
COME, GONE = "REFERENCING NEW TABLE AS come", "REFERENCING OLD TABLE AS gone"
IS_OTHER_STATE = "(OLD.status, OLD.error_kind) IS DISTINCT FROM (NEW.status, NEW.error_kind)"
IS_OTHER_PLACE = "(OLD.organized_at IS NULL) <> (NEW.organized_at IS NULL)"
TRIGGERS = (
    ("production_jobs", "insert", f"{COME} {STATEMENT}", "count_new_jobs()"),
    ("production_jobs", "delete", f"{GONE} {STATEMENT}", "count_lost_jobs()"),
    ("production_jobs", "update", ROW.format(IS_OTHER_STATE), "count_changed_job()"),
    ("production_jobs", "truncate", STATEMENT, "forget_counters('jobs/')"),
    ("anime_files", "insert", f"{COME} {STATEMENT}", "count_new_files()"),
    ("anime_files", "delete", f"{GONE} {STATEMENT}", "count_lost_files()"),
    ("anime_files", "update", ROW.format(IS_OTHER_PLACE), "count_changed_file()"),
    ("anime_files", "truncate", STATEMENT, "forget_counters('files/')"),
    ("counter_changes", "insert", ROW.format("NEW.id % 1000 = 0"), "fold_counters()"),
)

# One statement is one snapshot: what is there, less what has been counted of it since the triggers
# were made, was there before.
COUNT_FORMER = f"""
    WITH there AS (
        SELECT {JOB_COUNTER.format(row="job")} AS name, count(*) AS value
        FROM anime_api.production_jobs AS job GROUP BY 1
        UNION ALL
        SELECT {FILE_COUNTER}, count(*) FROM anime_api.anime_files WHERE organized_at IS NOT NULL
        UNION ALL SELECT name, -value FROM anime_api.counters
        UNION ALL SELECT name, -change FROM anime_api.counter_changes
    )
    INSERT INTO anime_api.counter_changes (name, change)
    SELECT name, sum(value) FROM there GROUP BY name HAVING sum(value) <> 0
"""
INDEXES = {
    "production_jobs_character_created_at_id_idx": "(character, created_at, id)",
    "production_jobs_type_created_at_id_idx": "(type, created_at, id)",
    "production_jobs_completed_idx": "(finished_at) WHERE status = 'completed'",
}


def upgrade() -> None:
    _drop()  # what an upgrade that was cut short has left
    _create_tables()
    for name, body in FUNCTIONS.items():
        op.execute(FUNCTION.format(name=name, body=body))
    with op.get_context().autocommit_block():  # commits, and so unlocks, all until here
        # One table at a time is locked: others lock both, in either order.
        for table, event, how, function in TRIGGERS:
            op.execute(
                f"CREATE TRIGGER counted_after_{event} AFTER {event} ON {SCHEMA}.{table} "
                f"{how} EXECUTE FUNCTION {SCHEMA}.{function}"
            )
        op.execute(COUNT_FORMER)
        _drop_indexes()
        op.execute(f"SET lock_timeout = '{INDEX_WAIT}'")
        for name, what in INDEXES.items():
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {SCHEMA}.production_jobs {what}")
        op.execute("SET lock_timeout = '10s'")


def downgrade() -> None:
    _drop()
    with op.get_context().autocommit_block():
        _drop_indexes()


def _drop() -> None:
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION IF EXISTS {SCHEMA}.{name}() CASCADE")
    op.execute(f"DROP TABLE IF EXISTS {SCHEMA}.counters, {SCHEMA}.counter_changes")


def _drop_indexes() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {SCHEMA}.{name}")


def _create_tables() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "counter_changes",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        schema=SCHEMA,
    )
