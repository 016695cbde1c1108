"""Files are counted by the day on which they were made, and keep the colours of their thumbnail.

A day is a number of days since 1970, in UTC: `files/made/20190`. What is there already is counted
by one statement, less what has been counted of it since the function was replaced.

Revision: 0023
"""

from importlib import import_module

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
_counters = import_module("anime.db.migrations.versions.0010_counters")

DAY = "'files/made/' || CAST(floor(extract(epoch FROM {row}.created_at) / 86400) AS bigint)"
# A file is one of its day, and of those that were organised.
COUNT = """
    INSERT INTO anime_api.counter_changes (name, change)
    SELECT counted.name, {sign}count(*) FROM {rows} AS file
    CROSS JOIN LATERAL (VALUES
        (CASE WHEN file.organized_at IS NOT NULL THEN 'files/organised' END),
        (CASE WHEN isfinite(file.created_at) THEN {day} END)
    ) AS counted (name)
    WHERE counted.name IS NOT NULL GROUP BY 1
"""
OF_FILE = DAY.format(row="file")
FUNCTIONS = {
    "count_new_files": COUNT.format(sign="", rows="come", day=OF_FILE),
    "count_lost_files": COUNT.format(sign="-", rows="gone", day=OF_FILE),
    "count_moved_file": f"""
        INSERT INTO anime_api.counter_changes (name, change)
        SELECT {DAY.format(row="moved")}, moved.change
        FROM (VALUES (OLD.created_at, -1), (NEW.created_at, 1)) AS moved (created_at, change)
        WHERE isfinite(moved.created_at)
    """,
}
IS_OTHER_MOMENT = "FOR EACH ROW WHEN (OLD.created_at IS DISTINCT FROM NEW.created_at)"
COUNT_FORMER = f"""
    WITH there AS (
        SELECT {OF_FILE} AS name, count(*) AS value FROM anime_api.anime_files AS file
        WHERE isfinite(file.created_at) GROUP BY 1
        UNION ALL
        SELECT name, -value FROM anime_api.counters WHERE starts_with(name, 'files/made/')
        UNION ALL
        SELECT name, -change FROM anime_api.counter_changes WHERE starts_with(name, 'files/made/')
    )
    INSERT INTO anime_api.counter_changes (name, change)
    SELECT name, sum(value) FROM there GROUP BY name HAVING sum(value) <> 0
"""
FORGET = "DELETE FROM anime_api.{table} WHERE starts_with(name, 'files/made/')"


def upgrade() -> None:
    # It waits for whoever writes, so that from its end on all are counted by the new function.
    op.execute(f"ALTER TABLE {SCHEMA}.anime_files ADD COLUMN IF NOT EXISTS colours text")
    for name, body in FUNCTIONS.items():
        _replace(name, body)
    op.execute(f"DROP TRIGGER IF EXISTS counted_after_move ON {SCHEMA}.anime_files")
    op.execute(
        f"CREATE TRIGGER counted_after_move AFTER UPDATE ON {SCHEMA}.anime_files "
        f"{IS_OTHER_MOMENT} EXECUTE FUNCTION {SCHEMA}.count_moved_file()"
    )
    with op.get_context().autocommit_block():  # commits, and so unlocks, all until here
        op.execute(COUNT_FORMER)


def downgrade() -> None:
    for name in ("count_new_files", "count_lost_files"):
        _replace(name, _counters.FUNCTIONS[name])
    op.execute(f"DROP FUNCTION IF EXISTS {SCHEMA}.count_moved_file() CASCADE")
    for table in ("counters", "counter_changes"):
        op.execute(FORGET.format(table=table))
    op.execute(f"ALTER TABLE {SCHEMA}.anime_files DROP COLUMN IF EXISTS colours")


def _replace(name: str, body: str) -> None:
    function = _counters.FUNCTION.format(name=name, body=body)
    op.execute(function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
