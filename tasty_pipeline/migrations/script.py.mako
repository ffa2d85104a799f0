"""${message}

Frozen once released: spell everything out, import nothing of this package.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Change both databases; guard what only Postgres can do by opts["backend"]."""
    ${upgrades if upgrades else "raise NotImplementedError"}
