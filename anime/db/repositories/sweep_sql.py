"""The statements of a sweep's batch: rows by COPY into a table of the session's own, then on.

A thousand rows so take a tenth of the time that they take one by one.
"""

from anime.db.models import SCHEMA

# Of the files asked about, the numbers (from 1) of those that are not remembered. Each is looked up
# by the key: the lines of a folder's past, of which there may be millions, are not read.
UNKNOWN_AMONG = f"""
    SELECT seen.number
    FROM unnest(
        %b::text::bytea[], %b::text::bytea[], %b::text::bigint[], %b::text::bigint[]
    ) WITH ORDINALITY AS seen(folder, name, size_bytes, mtime_ns, number)
    WHERE (
        SELECT true FROM {SCHEMA}.swept_files AS swept
        WHERE swept.folder = seen.folder AND swept.name = seen.name AND swept.source_kept
            AND swept.size_bytes = seen.size_bytes AND swept.mtime_ns = seen.mtime_ns
        LIMIT 1
    ) IS NULL
    ORDER BY seen.number
""".encode()  # noqa: S608  the name of the schema is a constant of ours

# Some lines by chance, from whole pages of the table: about as many as asked for, at no greater
# cost however many there are. A page has some 80.
SOME_LINES = f"""
    SELECT swept.folder, swept.name, swept.source_kept, folder.path
    FROM {SCHEMA}.swept_files AS swept TABLESAMPLE SYSTEM (least(100, 100.0 * %b / greatest(
        80 * pg_relation_size('{SCHEMA}.swept_files') / current_setting('block_size')::int, 1
    )))
    LEFT JOIN {SCHEMA}.swept_folders AS folder ON folder.key = swept.folder
    LIMIT %b
""".encode()  # noqa: S608

# Sources that were to stay, of the files with those ids; there is no index, as it is seldom asked.
SOURCES_OF = f"""
    SELECT swept.file_id, folder.path, swept.name
    FROM {SCHEMA}.swept_files AS swept
    JOIN {SCHEMA}.swept_folders AS folder ON folder.key = swept.folder
    WHERE swept.source_kept AND swept.file_id = ANY(%b::integer[])
""".encode()  # noqa: S608

PRUNE_LINES = f"""
    DELETE FROM {SCHEMA}.swept_files AS swept
    USING unnest(%b::bytea[], %b::bytea[]) AS gone(folder, name)
    WHERE swept.folder = gone.folder AND swept.name = gone.name
""".encode()  # noqa: S608

PRUNE_FOLDERS = f"""
    DELETE FROM {SCHEMA}.swept_folders AS folder
    WHERE folder.key = ANY(%b)
        AND NOT EXISTS (SELECT FROM {SCHEMA}.swept_files WHERE folder = folder.key)
""".encode()  # noqa: S608

REMEMBER_FOLDERS = f"""
    INSERT INTO {SCHEMA}.swept_folders (key, path)
    SELECT DISTINCT key, path FROM unnest(%b::bytea[], %b::bytea[]) AS met(key, path)
    ON CONFLICT DO NOTHING
""".encode()  # noqa: S608

# A table that has just grown has no statistics yet, and the planner would rather read all of it
# for each batch than look five hundred rows up.
BY_INDEX = "SET LOCAL enable_seqscan = off"

ROWS_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS sweep_rows (
        filename text, file_path text, file_type text, media_type text, source_path text,
        created_at timestamptz, project_id uuid, job_id uuid, width integer, height integer,
        frames integer, metadata jsonb, file_size bigint, sha256 text
    ) ON COMMIT DELETE ROWS
"""
# Packed only where they stay: packing a graph (70 us) takes longer than reading its JSON.
ROWS_UNPACKED = "ALTER TABLE sweep_rows ALTER COLUMN metadata SET STORAGE EXTERNAL"

COPY_ROWS = "COPY sweep_rows FROM STDIN"

# Two names of a batch may read alike as text, which one statement could not insert: the second
# one's line is left out, and the next sweep sets it apart.
_COLUMNS = """filename, file_path, file_type, media_type, source_path, created_at, project_id,
    job_id, width, height, frames, metadata, file_size, sha256"""
_INSERT = """
    INSERT INTO {schema}.anime_files AS file ({columns}, organized_at)
    SELECT DISTINCT ON ({identity}) {columns}, clock_timestamp()
    FROM sweep_rows WHERE job_id IS {is_of_job} NULL ORDER BY {identity}
    ON CONFLICT ({identity}) WHERE {condition}
    DO UPDATE SET file_path = excluded.file_path, filename = excluded.filename,
        organized_at = excluded.organized_at, state = CASE WHEN EXISTS (
            SELECT FROM {schema}.takes WHERE file_id = file.id AND verdict = 'rejected'
        ) THEN 'rejected' ELSE 'present' END
    WHERE file.sha256 = excluded.sha256
    RETURNING id, file_path
"""

INSERT_FILES = (
    _INSERT.format(
        schema=SCHEMA,
        columns=_COLUMNS,
        is_of_job="NOT",
        identity="job_id, source_path",
        condition="source_path IS NOT NULL",
    ),
    _INSERT.format(
        schema=SCHEMA,
        columns=_COLUMNS,
        is_of_job="",
        identity="source_path, sha256",
        condition="job_id IS NULL AND source_path IS NOT NULL",
    ),
)

INSERT_SWEPT = f"""
    INSERT INTO {SCHEMA}.swept_files AS seen
        (folder, name, size_bytes, mtime_ns, outcome, source_kept, file_id)
    SELECT * FROM unnest(
        %b::text::bytea[], %b::text::bytea[], %b::text::bigint[], %b::text::bigint[],
        %b::text::text[], %b::text::boolean[], %b::text::integer[]
    )
    ON CONFLICT (folder, name) DO UPDATE SET size_bytes = excluded.size_bytes,
        mtime_ns = excluded.mtime_ns, outcome = excluded.outcome,
        source_kept = excluded.source_kept, file_id = excluded.file_id,
        swept_at = clock_timestamp()
""".encode()  # noqa: S608
