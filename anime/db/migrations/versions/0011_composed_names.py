"""Names that people have typed are in Unicode's form NFC, as those are that they type from now on.

Rows are changed where they are not; a project's or character's slug, which is an address and a
folder, stays. Searches find characters and models under either form: triggers on the files write
them in NFC into the narrow table, whatever form a file's metadata have.

Revision: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NAMES = {
    "projects": ("name",),
    "characters": ("name",),
    "production_jobs": ("character", "shot"),
}
COMPOSE = """
    UPDATE anime_api.{table} SET {column} = normalize({column}, NFC)
    WHERE {column} IS NOT NFC NORMALIZED
"""
MAKE_SEARCHABLE = """
    CREATE OR REPLACE FUNCTION anime_api.make_searchable() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN
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
    FROM changed AS file
    CROSS JOIN LATERAL (
        SELECT
            CASE jsonb_typeof(file.metadata -> 'prompt')
                WHEN 'string' THEN left(file.metadata ->> 'prompt', 20000) END AS prompt,
            CASE jsonb_typeof(file.metadata -> 'character')
                WHEN 'string' THEN left({character}, 200) END AS character,
            CASE jsonb_typeof(file.metadata -> 'model')
                WHEN 'string' THEN left({model}, 200) END AS model,
            CASE WHEN jsonb_typeof(file.metadata -> 'seed') IN ('string', 'number')
                THEN left(file.metadata ->> 'seed', 40) END AS seed
    ) AS fact
    ON CONFLICT (file_id) DO UPDATE SET
        created_at = excluded.created_at, project_id = excluded.project_id,
        job_id = excluded.job_id, kind = excluded.kind, state = excluded.state,
        character = excluded.character, model = excluded.model, seed = excluded.seed,
        path_key = excluded.path_key, terms = excluded.terms;
    RETURN NULL; END $$
"""
COMPOSED = "lower(normalize(file.metadata ->> '{field}', NFC))"
# The triggers write the row of a file anew that is changed into itself.
SEARCH_ANEW = """
    UPDATE anime_api.anime_files SET state = state WHERE id IN (
        SELECT file_id FROM anime_api.searchable_files
        WHERE character IS NOT NFC NORMALIZED OR model IS NOT NFC NORMALIZED
    )
"""


def upgrade() -> None:
    search(composed=COMPOSED)
    with op.get_context().autocommit_block():  # of each table only as long as its statement takes
        for table, columns in NAMES.items():
            for column in columns:
                op.execute(COMPOSE.format(table=table, column=column))
        op.execute(SEARCH_ANEW)


def downgrade() -> None:
    search(composed="lower(file.metadata ->> '{field}')")


def search(composed: str) -> None:
    """Have the triggers write character and model in that form."""
    op.execute(
        MAKE_SEARCHABLE.format(
            character=composed.format(field="character"), model=composed.format(field="model")
        )
    )
