"""What makes an unchanged sync cheap: the last answer of every window, and indexes for what every sync asks.

The table was generated once from core.schema and is frozen, as the roles' rights are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table in both databases; in Postgres indexes, row security and rights as well."""
    op.create_table('proven_windows',
    sa.Column('account_number', sa.Text(), autoincrement=False, nullable=False, comment='The account.'),
    sa.Column('table_name', sa.Text(), autoincrement=False, nullable=False, comment='The table that holds the rows.'),
    sa.Column('window_start', sa.Date(), autoincrement=False, nullable=False, comment='First day that was asked for.'),
    sa.Column('window_end', sa.Date(), autoincrement=False, nullable=False, comment='Last day that was asked for.'),
    sa.Column('row_count', sa.BigInteger(), nullable=False, comment='Rows of the answer.'),
    sa.Column('body_digest', sa.Text(), nullable=False, comment='Digest of the answer as it came.'),
    sa.Column('fingerprint', sa.Text(), nullable=False, comment='What this database made of the rows of those days after the answer was published; comparable in it only.'),
    sa.Column('synced_at', sa.DateTime(timezone=True), nullable=False, comment='Start of the read that last changed this row. A sync that finds it unchanged writes nothing.'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='The run that last changed this row.'),
    sa.PrimaryKeyConstraint('account_number', 'table_name', 'window_start', 'window_end', name=op.f('proven_windows_pkey')),
    schema='tasty',
    comment='What one request of a day window last answered, and what the table held of its days then: a window that answers the same again needs no reading.'
    )
    if op.get_context().opts["backend"] == "postgres":
        op.create_index(op.f('proven_days_table_name_day_idx'), 'proven_days', ['table_name', 'day'], unique=False, schema='tasty')
        published = sa.text("result = 'published'")
        op.create_index(op.f('sync_log_environment_connection_idx'), 'sync_log', ['environment', 'connection'], unique=False, schema='tasty', postgresql_where=published)
        op.create_index(op.f('sync_log_environment_account_number_idx'), 'sync_log', ['environment', 'account_number'], unique=False, schema='tasty', postgresql_where=published)
        _count_live_rows()
        for statement in _SECURITY:
            op.execute(statement)


def _count_live_rows() -> None:
    """Let the live rows of every day be counted in an index, and the last days and the last read be found in one."""
    for table, day in (("transactions", "transaction_date"), ("balance_snapshots", "snapshot_date")):
        name = op.f(f"{table}_account_number_{day}_idx")
        op.drop_index(name, table, schema='tasty')
        op.create_index(name, table, ['account_number', day, 'removed_at'], unique=False, schema='tasty')
    op.create_index(op.f('transactions_transaction_date_synced_at_idx'), 'transactions', ['transaction_date', 'synced_at'], unique=False, schema='tasty', postgresql_using='brin')


_OPEN = "(SELECT tasty.unrestricted())"
_ME = "(SELECT current_setting('tasty.current_user', true))"
_MY_ACCOUNTS = "account_number = ANY ((SELECT tasty.visible_accounts())::text[])"

_VIEWS = (
    "accounts, positions, balances, balance_snapshots, transactions, removed_transactions, proven_days, rejected_rows, "
    "sync_log, connections, connection_accounts, sync_requests, changes, sealing_keys, schema_version"
)
_TABLES = (
    "accounts, positions, balances, balance_snapshots, transactions, proven_days, proven_windows, rejected_rows, "
    "sync_log, connections, connection_accounts, access_tokens, sealing_keys, sync_requests, changes"
)
_ALL_VIEWS = ", ".join(f"tasty_v1.{name}" for name in _VIEWS.split(", "))
_ALL_TABLES = ", ".join(f"tasty.{name}" for name in _TABLES.split(", "))
# all but the two that hold what is sealed
_READ_TABLES = ", ".join(
    f"tasty.{name}" for name in _TABLES.split(", ") if name not in {"connections", "access_tokens"}
)
# all that have row security
_VISIBLE = [name for name in _TABLES.split(", ") if name not in {"access_tokens", "sealing_keys"}]
_READ_COLUMNS = (
    "connection_id, owner, label, sandbox, connected_at, disconnected_at, state, state_reason, state_changed_at"
)
_MAY = f"({_OPEN} OR owner = {_ME})"
_AN_APPLICATIONS = f"owner IS NOT NULL AND connection_id <> 'default' AND {_MAY}"

_SECURITY = (
    "ALTER TABLE tasty.proven_windows ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY visible ON tasty.proven_windows FOR SELECT USING ({_OPEN} OR {_MY_ACCOUNTS})",
    # as it was, with the new table
    f"""
CREATE OR REPLACE FUNCTION tasty.make_roles() RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    each text;
BEGIN
    FOREACH each IN ARRAY ARRAY['tasty_pipeline', 'tasty_reader', 'tasty_app'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = each) THEN
            BEGIN
                EXECUTE 'CREATE ROLE ' || each || ' NOLOGIN';
            EXCEPTION
                -- a migration of another database of this server was faster
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN RETURN false;
            END;
        END IF;
    END LOOP;

    GRANT USAGE ON SCHEMA tasty, tasty_v1 TO tasty_pipeline, tasty_reader, tasty_app;
    GRANT EXECUTE ON FUNCTION tasty.unrestricted(), tasty.visible_connections(), tasty.visible_accounts()
        TO tasty_pipeline, tasty_reader, tasty_app;
    GRANT SELECT ON tasty.schema_version, {_ALL_VIEWS} TO tasty_pipeline, tasty_reader, tasty_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON {_ALL_TABLES} TO tasty_pipeline;
    GRANT SELECT ON {_READ_TABLES} TO tasty_reader, tasty_app;
    GRANT SELECT ({_READ_COLUMNS}) ON tasty.connections TO tasty_reader, tasty_app;
    GRANT INSERT (request_id, owner, requested_at, state) ON tasty.sync_requests TO tasty_app;
    GRANT INSERT (connection_id, owner, label, sandbox, sealed_credentials, connected_at) ON tasty.connections
        TO tasty_app;
    GRANT UPDATE (label, sealed_credentials, connected_at, disconnected_at) ON tasty.connections TO tasty_app;
    IF has_database_privilege(current_database(), 'TEMPORARY WITH GRANT OPTION') THEN
        EXECUTE 'GRANT TEMPORARY ON DATABASE ' || quote_ident(current_database()) || ' TO tasty_pipeline';
    END IF;

    FOREACH each IN ARRAY ARRAY[{", ".join(f"'{table}'" for table in _VISIBLE)}] LOOP
        EXECUTE 'DROP POLICY IF EXISTS pipeline ON tasty.' || each;
        EXECUTE 'CREATE POLICY pipeline ON tasty.' || each || ' TO tasty_pipeline USING (true) WITH CHECK (true)';
    END LOOP;
    DROP POLICY IF EXISTS ask ON tasty.sync_requests;
    CREATE POLICY ask ON tasty.sync_requests FOR INSERT TO tasty_app WITH CHECK (state = 'queued' AND {_MAY});
    DROP POLICY IF EXISTS connect ON tasty.connections;
    CREATE POLICY connect ON tasty.connections FOR INSERT TO tasty_app
        WITH CHECK ({_AN_APPLICATIONS} AND state IS NULL);
    DROP POLICY IF EXISTS reconnect ON tasty.connections;
    CREATE POLICY reconnect ON tasty.connections FOR UPDATE TO tasty_app
        USING ({_AN_APPLICATIONS}) WITH CHECK ({_AN_APPLICATIONS});
    RETURN true;
END $$""",
    "DO $$ BEGIN PERFORM tasty.make_roles(); END $$",
)
