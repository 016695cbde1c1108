"""A job may have failed because somebody stopped its prompt in ComfyUI: kind `interrupted`.

Revision: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FORMER = (
    "invalid_workflow",
    "out_of_memory",
    "insufficient_vram",
    "comfyui_unreachable",
    "lost",
    "timeout",
    "node_error",
    "storage",
    "quarantined",
    "internal",
)
TABLE = "anime_api.production_jobs"
RULE = "production_jobs_error_kind_check"


def upgrade() -> None:
    _allow(*FORMER[:7], "interrupted", *FORMER[7:])  # in the order of FailureKind


def downgrade() -> None:
    op.execute(f"UPDATE {TABLE} SET error_kind = 'node_error' WHERE error_kind = 'interrupted'")
    _allow(*FORMER)


def _allow(*kinds: str) -> None:
    words = ", ".join(f"'{kind}'" for kind in kinds)
    # Not valid at first: the rows are looked through afterwards, while others write.
    op.execute(
        f"ALTER TABLE {TABLE} DROP CONSTRAINT {RULE}, "
        f"ADD CONSTRAINT {RULE} CHECK (error_kind IN ({words})) NOT VALID"
    )
    with op.get_context().autocommit_block():  # commits, and so unlocks, all until here
        op.execute(f"ALTER TABLE {TABLE} VALIDATE CONSTRAINT {RULE}")
