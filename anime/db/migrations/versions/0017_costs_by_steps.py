"""What renders cost is learned for each number of steps; what is known already is of any number.

Revision: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
TABLE = "render_costs"
KEY = ("workflow", "model", "size", "server")


def upgrade() -> None:
    steps = sa.Column("steps", sa.Integer(), nullable=False, server_default="0")
    op.add_column(TABLE, steps, schema=SCHEMA)
    _change_key("workflow", "model", "size", "steps", "server")


def downgrade() -> None:
    same = " AND ".join(f"other.{column} = known.{column}" for column in KEY)
    op.execute(
        f"DELETE FROM {SCHEMA}.{TABLE} AS known USING {SCHEMA}.{TABLE} AS other"  # noqa: S608
        f" WHERE {same} AND (other.updated_at, other.steps) > (known.updated_at, known.steps)"
    )
    _change_key(*KEY)
    op.drop_column(TABLE, "steps", schema=SCHEMA)


def _change_key(*columns: str) -> None:
    op.drop_constraint(f"{TABLE}_pkey", TABLE, schema=SCHEMA)
    op.create_primary_key(f"{TABLE}_pkey", TABLE, list(columns), schema=SCHEMA)
