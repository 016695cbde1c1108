"""A note of a take may be about a point of its picture.

Revision: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    for name in ("point_x", "point_y"):
        op.add_column("reviews", sa.Column(name, sa.Float()), schema=SCHEMA)
    op.create_check_constraint(
        op.f("reviews_point_check"),
        "reviews",
        "(point_x IS NULL) = (point_y IS NULL)",
        schema=SCHEMA,
    )
    op.create_check_constraint(
        op.f("reviews_point_range_check"),
        "reviews",
        "point_x BETWEEN 0 AND 1 AND point_y BETWEEN 0 AND 1",
        schema=SCHEMA,
    )


def downgrade() -> None:
    for name in ("point_x", "point_y"):  # their checks go with them
        op.drop_column("reviews", name, schema=SCHEMA)
