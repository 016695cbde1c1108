"""Files are found by any spelling of any of their models, and by all that is written in them.

A file may have several models, and each is found without its folders, extension and hash, or by
that hash: as terms, which take the place of the column `model`. The words of songs, and texts that
no reader understood, are found like those of a prompt. The signs of Japanese that repeat a letter
count as letters. All fields are taken out of the metadata at once: unpacking a graph of many
kilobytes for each of them took most of the trigger's time.

Revision: 0016
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
TABLE = "searchable_files"

# Text as it is compared, as in 0008, but for U+3005 to U+3007, which are letters now.
SPELLED = r"""
    CREATE OR REPLACE FUNCTION anime_api.spelled(given text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE WHEN octet_length(given) = length(given) THEN
            regexp_replace(
                lower(given),
                '[\u0001-\u001f\u0021-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f]+', ' ', 'g'
            )
        ELSE
            regexp_replace(
                regexp_replace(
                    lower(normalize(given, NFKC)),
                    '[\u0001-\u001f\u0021-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a0'
                    '\u2000-\u206f\u3000-\u3004\u3008-\u303f]+',
                    ' ', 'g'
                ),
                '([\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])',
                ' \1 ', 'g'
            )
        END
    $$
"""

# A model without its folders, extension and hash; of a hash, its first ten digits: that is how
# much AUTOMATIC1111 and Civitai write.
MODEL_KEY = r"""
    CREATE OR REPLACE FUNCTION anime_api.model_key(given text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT left(regexp_replace(key, '^([0-9a-f]{10})[0-9a-f]{0,54}$', '\1'), 200)
        FROM regexp_replace(
            regexp_replace(
                lower(normalize(given, NFKC)), '\s*\[[0-9a-f]{6,64}\]\s*$|^.*[/\\]', '', 'g'
            ),
            '\.(safetensors|ckpt|pt|pth|bin|gguf|sft|onnx)\s*$', ''
        ) AS key
    $$
"""

# Programs of any kind write `metadata`: what is not of the expected type is not searched for.
COPY = r"""
    INSERT INTO anime_api.searchable_files AS known (
        file_id, created_at, project_id, job_id, kind, state, character, seed, path_key, terms
    )
    SELECT file.id, file.created_at, file.project_id, file.job_id, file.file_type, file.state,
        fact.character, fact.seed, hashtextextended(file.file_path, 0),
        to_tsvector('pg_catalog.simple', coalesce(anime_api.spelled(fact.words), ''))
            || array_to_tsvector(array_remove(ARRAY[
                'project:' || file.project_id, 'kind:' || left(lower(file.file_type), 200),
                'state:' || left(lower(file.state), 200), 'character:' || fact.character
            ] || fact.models, NULL))
    FROM {source} AS file
    CROSS JOIN LATERAL jsonb_to_record(
        CASE jsonb_typeof(file.metadata) WHEN 'object' THEN file.metadata ELSE '{{}}' END
    ) AS said (
        prompt jsonb, lyrics jsonb, texts jsonb, character jsonb, seed jsonb, model jsonb,
        models jsonb, model_hash jsonb
    )
    CROSS JOIN LATERAL (
        SELECT
            left(concat_ws(
                ' ',
                CASE jsonb_typeof(said.prompt) WHEN 'string' THEN said.prompt #>> '{{}}' END,
                CASE jsonb_typeof(said.lyrics) WHEN 'string' THEN said.lyrics #>> '{{}}' END,
                CASE jsonb_typeof(said.texts) WHEN 'object' THEN (
                    SELECT string_agg(value, ' ') FROM jsonb_each_text(said.texts)
                ) END
            ), 20000) AS words,
            CASE jsonb_typeof(said.character) WHEN 'string'
                THEN left(lower(normalize(said.character #>> '{{}}', NFC)), 200) END AS character,
            CASE WHEN jsonb_typeof(said.seed) IN ('string', 'number')
                THEN left(said.seed #>> '{{}}', 40) END AS seed,
            CASE WHEN coalesce(said.model, said.models, said.model_hash) IS NOT NULL THEN ARRAY(
                SELECT DISTINCT 'model:' || anime_api.model_key(name #>> '{{}}')
                FROM unnest(ARRAY[
                    said.model, said.model_hash,
                    to_jsonb(substring(said.model #>> '{{}}', '\[([0-9A-Fa-f]{{6,64}})\]\s*$'))
                ] || CASE jsonb_typeof(said.models) WHEN 'array'
                    THEN ARRAY(SELECT jsonb_array_elements(said.models) LIMIT 64) END) AS name
                WHERE jsonb_typeof(name) = 'string'
            ) END AS models
    ) AS fact
    ON CONFLICT (file_id) DO UPDATE SET
        created_at = excluded.created_at, project_id = excluded.project_id,
        job_id = excluded.job_id, kind = excluded.kind, state = excluded.state,
        character = excluded.character, seed = excluded.seed, path_key = excluded.path_key,
        terms = excluded.terms
"""
MAKE_SEARCHABLE = f"""
    CREATE OR REPLACE FUNCTION anime_api.make_searchable() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN {COPY.format(source="changed")}; RETURN NULL; END $$
"""
BATCH_FILES = 2000  # half a second; as long may a program wait that changes one of these files
END_OF_BATCH = """
    SELECT max(id) FROM (
        SELECT id FROM anime_api.anime_files WHERE id > :begin ORDER BY id LIMIT :files
    ) AS batch
"""
# Locked, so that nobody changes a file between being read and being searched for.
FILES_OF_BATCH = """(
    SELECT * FROM anime_api.anime_files WHERE id > :begin AND id <= :end FOR SHARE
)"""


def upgrade() -> None:
    op.execute(SPELLED)
    op.execute(MODEL_KEY)
    op.execute(MAKE_SEARCHABLE)
    op.execute(f"ALTER TABLE {SCHEMA}.{TABLE} DROP COLUMN IF EXISTS model")
    with op.get_context().autocommit_block():
        _search_anew(op.get_bind(), COPY.format(source=FILES_OF_BATCH))
        op.execute(f"ANALYZE {SCHEMA}.{TABLE}")


def downgrade() -> None:
    former = import_module("anime.db.migrations.versions.0011_composed_names")
    spelled = import_module("anime.db.migrations.versions.0008_quicker_terms")
    op.add_column(TABLE, sa.Column("model", sa.Text()), schema=SCHEMA)
    op.create_index(None, TABLE, ["model", "created_at", "file_id"], schema=SCHEMA)
    op.execute(spelled.SPELLED)
    former.search(composed=former.COMPOSED)
    op.execute("DROP FUNCTION anime_api.model_key(text)")
    op.execute(f"UPDATE {SCHEMA}.anime_files SET state = state")  # the triggers do the rest


def _search_anew(connection: sa.Connection, copy: str) -> None:
    """The rows of all files, batch by batch, each a transaction; cut short, it begins anew."""
    begin = -(2**31)
    while True:
        limits = {"begin": begin, "files": BATCH_FILES}
        end = connection.scalar(sa.text(END_OF_BATCH), limits)
        if end is None:
            return
        connection.execute(sa.text(copy), {"begin": begin, "end": end})
        begin = end
