"""What a search looks at of each file, in a narrow table of its own, kept up by triggers.

The files' table is locked only for as long as it takes to make the triggers. Then the rows that
there are become searchable batch by batch, each a transaction: old programs go on writing. An
upgrade that is cut short leaves the former revision; the next one begins anew.

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

# What the index holds: each term with the span of two weeks that the file was made in, so that a
# look into one span costs what this span has, however common the terms are in all the others.
TERMS_OF_SPAN = """
    CREATE FUNCTION anime_api.terms_of_span(terms tsvector, created_at timestamptz)
    RETURNS tsvector
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT array_to_tsvector(ARRAY(
            SELECT floor(extract(epoch FROM created_at) / 1209600) || '/' || left(term, 500)
            FROM unnest(tsvector_to_array(terms)) AS term
        ))
    $$
"""

# Words that a file of that span has to have; whether they stand side by side is not asked.
WORDS_OF_SPAN = r"""
    CREATE FUNCTION anime_api.words_of_span(words tsquery, span bigint) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CAST(regexp_replace(
            regexp_replace(CAST(words AS text), '<[-0-9]+>', '&', 'g'),
            '''([^'']+)''', '''' || span || '/\1''', 'g'
        ) AS tsquery)
    $$
"""

# The spans that have files, the newest first: one look at the index for each.
SPANS_OF_FILES = """
    CREATE FUNCTION anime_api.spans_of_files(since timestamptz, until timestamptz)
    RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE span bigint;
    BEGIN
        LOOP
            SELECT created_at INTO until FROM anime_api.searchable_files
            WHERE created_at <= until AND created_at > '-infinity'
            ORDER BY created_at DESC LIMIT 1;
            EXIT WHEN NOT FOUND OR until < since;
            span := floor(extract(epoch FROM until) / 1209600);
            RETURN NEXT span;
            until := to_timestamp(span * 1209600) - interval '1 microsecond';
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
                'model:' || fact.model
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
    ON CONFLICT (file_id) DO {if_known}
"""
REPLACE = """
    UPDATE SET
        created_at = excluded.created_at, project_id = excluded.project_id,
        job_id = excluded.job_id, kind = excluded.kind, state = excluded.state,
        character = excluded.character, model = excluded.model, seed = excluded.seed,
        path_key = excluded.path_key, terms = excluded.terms
"""

BATCH_FILES = 2000  # half a second; as long may a program wait that changes one of these files
END_OF_BATCH = """
    SELECT max(id) FROM (
        SELECT id FROM anime_api.anime_files WHERE id > :begin ORDER BY id LIMIT :files
    ) AS batch
"""
FILES_OF_BATCH = "(SELECT * FROM anime_api.anime_files WHERE id > :begin AND id <= :end)"
# Those that were deleted while their batch was copied.
FORGET_ORPHANS = """
    DELETE FROM anime_api.searchable_files AS known
    WHERE NOT EXISTS (SELECT FROM anime_api.anime_files WHERE id = known.file_id)
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
TRIGGER_FUNCTIONS = {
    "make_searchable": COPY.format(source="changed", if_known=REPLACE),
    "forget_searchable": FORGET,
    "forget_all_searchable": "DELETE FROM anime_api.searchable_files",
}


def upgrade() -> None:
    downgrade()  # what an upgrade that was cut short has left
    for function in (SPELLED, PHRASE_OF, TERMS_OF_SPAN, WORDS_OF_SPAN):
        op.execute(function)
    _create_table()
    op.execute(SPANS_OF_FILES)
    _create_indexes()
    _create_triggers()
    with op.get_context().autocommit_block():  # commits, and so unlocks, all until here
        _copy_in_batches(op.get_bind())
        op.execute(FORGET_ORPHANS)
        op.execute("ANALYZE anime_api.searchable_files")


def downgrade() -> None:
    for name in TRIGGER_FUNCTIONS:
        op.execute(f"DROP FUNCTION IF EXISTS anime_api.{name}() CASCADE")
    op.execute("DROP FUNCTION IF EXISTS anime_api.spans_of_files(timestamptz, timestamptz)")
    op.execute("DROP TABLE IF EXISTS anime_api.searchable_files")
    for signature in (
        "words_of_span(tsquery, bigint)",
        "terms_of_span(tsvector, timestamptz)",
        "phrase_of(text, boolean)",
        "spelled(text)",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS anime_api.{signature}")


def _copy_in_batches(connection: sa.Connection) -> None:
    """Make the files searchable that are not; the triggers have seen to newer ones."""
    copy = sa.text(COPY.format(source=FILES_OF_BATCH, if_known="NOTHING"))
    begin = -(2**31)
    while True:
        limits = {"begin": begin, "files": BATCH_FILES}
        end = connection.scalar(sa.text(END_OF_BATCH), limits)
        if end is None:
            return
        connection.execute(copy, {"begin": begin, "end": end})
        begin = end


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
    op.execute(
        f"CREATE INDEX searchable_files_terms_idx ON {SCHEMA}.{TABLE}"
        " USING gin (anime_api.terms_of_span(terms, created_at))"
        " WITH (gin_pending_list_limit = 512)"  # kB; every search reads them all
    )


def _create_triggers() -> None:
    for name, body in TRIGGER_FUNCTIONS.items():
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
