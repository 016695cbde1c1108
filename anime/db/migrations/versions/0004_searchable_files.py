"""What a search looks at of each file, in a narrow table of its own, kept up by triggers.

The files' table is locked only at the end, for as long as it takes to make the triggers and
to catch up with what was written meanwhile: old programs go on writing while the rows that
there are already become searchable.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
TABLE = "searchable_files"
SEARCHED = ("project_id", "kind", "character", "model", "seed")

# Text as it is compared: letters of every width and case alike, punctuation gone, and a blank
# around each Chinese or Japanese letter, because their words are not set apart.
SPELLED = r"""
    CREATE FUNCTION anime_api.spelled(given text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT regexp_replace(
            regexp_replace(
                lower(normalize(given, NFKC)),
                '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a0\u2000-\u206f\u3000-\u303f]+',
                ' ', 'g'
            ),
            '([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])', ' \1 ', 'g'
        )
    $$
"""

# The words of a text, as one that stand side by side; the last one may be a beginning.
PHRASE_OF = """
    CREATE FUNCTION anime_api.phrase_of(given text, is_beginning boolean) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE WHEN is_beginning AND numnode(phrase) > 0
            THEN CAST(CAST(phrase AS text) || ':*' AS tsquery) ELSE phrase END
        FROM phraseto_tsquery('pg_catalog.simple', anime_api.spelled(given)) AS phrase
    $$
"""

# The months (of four weeks, as in the terms) that have files, the newest first: one look at the
# index for each.
MONTHS_OF_FILES = """
    CREATE FUNCTION anime_api.months_of_files(since timestamptz, until timestamptz)
    RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE month bigint;
    BEGIN
        LOOP
            SELECT created_at INTO until FROM anime_api.searchable_files
            WHERE created_at <= until AND created_at > '-infinity'
            ORDER BY created_at DESC LIMIT 1;
            EXIT WHEN NOT FOUND OR until < since;
            month := floor(extract(epoch FROM until) / 2419200);
            RETURN NEXT month;
            until := to_timestamp(month * 2419200) - interval '1 microsecond';
        END LOOP;
    END
    $$
"""

# Programs of any kind write `metadata`: what is not of the expected type is not searched for.
COPY = """
    INSERT INTO anime_api.searchable_files AS known (
        file_id, created_at, project_id, job_id, kind, state, character, model, seed, path_key,
        terms
    )
    SELECT file.id, file.created_at, file.project_id, file.job_id, file.file_type, file.state,
        fact.character, fact.model, fact.seed, hashtextextended(file.file_path, 0),
        to_tsvector('pg_catalog.simple', coalesce(anime_api.spelled(fact.prompt), ''))
            || array_to_tsvector(array_remove(ARRAY[
                'project:' || file.project_id, 'kind:' || left(lower(file.file_type), 200),
                'state:' || left(lower(file.state), 200), 'character:' || fact.character,
                'model:' || fact.model,
                CASE WHEN isfinite(file.created_at) THEN 'month:'
                    || CAST(floor(extract(epoch FROM file.created_at) / 2419200) AS bigint) END
            ], NULL))
    FROM {source} AS file
    CROSS JOIN LATERAL (
        SELECT
            CASE jsonb_typeof(file.metadata -> 'prompt')
                WHEN 'string' THEN left(file.metadata ->> 'prompt', 20000) END AS prompt,
            CASE jsonb_typeof(file.metadata -> 'character')
                WHEN 'string' THEN left(lower(file.metadata ->> 'character'), 200) END AS character,
            CASE jsonb_typeof(file.metadata -> 'model')
                WHEN 'string' THEN left(lower(file.metadata ->> 'model'), 200) END AS model,
            CASE WHEN jsonb_typeof(file.metadata -> 'seed') IN ('string', 'number')
                THEN left(file.metadata ->> 'seed', 40) END AS seed
    ) AS fact
    {condition}
    ON CONFLICT (file_id) DO UPDATE SET
        created_at = excluded.created_at, project_id = excluded.project_id,
        job_id = excluded.job_id, kind = excluded.kind, state = excluded.state,
        character = excluded.character, model = excluded.model, seed = excluded.seed,
        path_key = excluded.path_key, terms = excluded.terms
"""
MISSING = """
    WHERE NOT EXISTS (
        SELECT FROM anime_api.searchable_files AS known WHERE known.file_id = file.id
    )
"""

# Whoever may write files need not have rights on our table: the functions have them.
FUNCTION = """
    CREATE FUNCTION anime_api.{name}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN {body}; RETURN NULL; END $$
"""
FORGET = """
    DELETE FROM anime_api.searchable_files USING gone WHERE file_id = gone.id
"""


def upgrade() -> None:
    op.execute(SPELLED)
    op.execute(PHRASE_OF)
    _create_table()
    op.execute(MONTHS_OF_FILES)
    op.execute(COPY.format(source="anime_api.anime_files", condition=""))
    _create_indexes()
    _create_triggers()
    op.execute(COPY.format(source="anime_api.anime_files", condition=MISSING))


def downgrade() -> None:
    for name in ("insert", "update", "delete", "truncate"):
        op.execute(f"DROP TRIGGER searchable_after_{name} ON anime_api.anime_files")
    for name in ("make_searchable", "forget_searchable", "forget_all_searchable"):
        op.execute(f"DROP FUNCTION anime_api.{name}()")
    op.execute("DROP FUNCTION anime_api.months_of_files(timestamptz, timestamptz)")
    op.drop_table(TABLE, schema=SCHEMA)
    op.execute("DROP FUNCTION anime_api.phrase_of(text, boolean)")
    op.execute("DROP FUNCTION anime_api.spelled(text)")


def _create_table() -> None:
    op.create_table(
        TABLE,
        sa.Column("file_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("kind", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("character", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("seed", sa.Text()),
        sa.Column("path_key", sa.BigInteger()),
        sa.Column("terms", postgresql.TSVECTOR(), nullable=False),
        schema=SCHEMA,
    )


def _create_indexes() -> None:
    op.create_index(None, TABLE, ["created_at", "file_id"], schema=SCHEMA)
    op.create_index(None, TABLE, ["job_id"], schema=SCHEMA)
    op.create_index(None, TABLE, ["path_key"], schema=SCHEMA)
    op.create_index(
        None, TABLE, ["state"], schema=SCHEMA, postgresql_where=sa.text("state <> 'present'")
    )
    for column in SEARCHED:
        op.create_index(None, TABLE, [column, "created_at", "file_id"], schema=SCHEMA)
    op.create_index(
        None,
        TABLE,
        ["terms"],
        schema=SCHEMA,
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 512},  # kB; every search reads them all
    )


def _create_triggers() -> None:
    make = COPY.format(source="changed", condition="")
    for name, body in (
        ("make_searchable", make),
        ("forget_searchable", FORGET),
        ("forget_all_searchable", "DELETE FROM anime_api.searchable_files"),
    ):
        op.execute(FUNCTION.format(name=name, body=body))
    for event, rows, function in (
        ("insert", "REFERENCING NEW TABLE AS changed", "make_searchable"),
        ("update", "REFERENCING NEW TABLE AS changed", "make_searchable"),
        ("delete", "REFERENCING OLD TABLE AS gone", "forget_searchable"),
        ("truncate", "", "forget_all_searchable"),
    ):
        op.execute(
            f"CREATE TRIGGER searchable_after_{event} AFTER {event} ON anime_api.anime_files "
            f"{rows} FOR EACH STATEMENT EXECUTE FUNCTION anime_api.{function}()"
        )
