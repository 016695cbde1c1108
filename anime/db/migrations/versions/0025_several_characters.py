"""Jobs and files are found by each of their characters.

Revision: 0025
"""

from importlib import import_module

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
JOBS = f"{SCHEMA}.production_jobs"
INDEX = "production_jobs_characters_idx"
INDEX_WAIT = "10min"  # for transactions that began before
FORMER = "anime.db.migrations.versions.0016_models_by_any_spelling"

# As in 0016, with a term for each of the characters. Older files have one, which has its term.
_CHANGES = {
    "prompt jsonb, lyrics jsonb, texts jsonb, character jsonb,": (
        "prompt jsonb, lyrics jsonb, texts jsonb, character jsonb, characters jsonb,"
    ),
    "] || fact.models, NULL))": "] || fact.models || fact.characters, NULL))",
    "            CASE WHEN jsonb_typeof(said.seed)": r"""
            CASE jsonb_typeof(said.characters) WHEN 'array' THEN ARRAY(
                SELECT DISTINCT 'character:' || left(lower(normalize(name #>> '{{}}', NFC)), 200)
                FROM (SELECT jsonb_array_elements(said.characters) AS name LIMIT 64) AS each
                WHERE jsonb_typeof(name) = 'string'
            ) END AS characters,
            CASE WHEN jsonb_typeof(said.seed)""",
}


def _copy() -> str:
    copy: str = import_module(FORMER).COPY
    for before, after in _CHANGES.items():
        copy = copy.replace(before, after)
    return copy


MAKE_SEARCHABLE = f"""
    CREATE OR REPLACE FUNCTION anime_api.make_searchable() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN {_copy().format(source="changed")}; RETURN NULL; END $$
"""


def upgrade() -> None:
    op.execute(MAKE_SEARCHABLE)
    op.execute(f"ALTER TABLE {JOBS} ADD COLUMN IF NOT EXISTS characters text[]")
    with op.get_context().autocommit_block():  # nobody waits for the index
        op.execute(f"SET lock_timeout = '{INDEX_WAIT}'")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {SCHEMA}.{INDEX}")  # of a try cut short
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON {JOBS} USING gin (characters) "
            "WHERE characters IS NOT NULL"
        )
        op.execute("SET lock_timeout = '10s'")


def downgrade() -> None:
    op.execute(f"ALTER TABLE {JOBS} DROP COLUMN characters")
    op.execute(import_module(FORMER).MAKE_SEARCHABLE)
