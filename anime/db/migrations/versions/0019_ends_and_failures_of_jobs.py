"""Jobs are found by why they failed and by when they ended, however few of a million those are.

Without these indexes, a list of jobs that failed for a rare reason reads all that failed, and one
of those that ended lately all there are. No table is locked: old programs go on writing.

Revision: 0019
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
INDEX_WAIT = "10min"  # for transactions that began before; nobody waits for us meanwhile
INDEXES = {
    "production_jobs_error_kind_created_at_id_idx": (
        "(error_kind, created_at, id) WHERE error_kind IS NOT NULL"
    ),
    "production_jobs_finished_at_idx": "(finished_at) WHERE finished_at IS NOT NULL",
}


def upgrade() -> None:
    downgrade()  # what an upgrade that was cut short has left
    with op.get_context().autocommit_block():
        op.execute(f"SET lock_timeout = '{INDEX_WAIT}'")
        for name, what in INDEXES.items():
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {SCHEMA}.production_jobs {what}")
        op.execute("SET lock_timeout = '10s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {SCHEMA}.{name}")
