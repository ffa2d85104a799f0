"""What applications need: connections, sync requests, the change feed; in Postgres also views, roles and row security.

The tables were generated once from core.schema and are frozen, as the lists of the views' columns are.

Views are what applications read: `tasty_v1` keeps its names and columns while the tables change. A later revision that
drops or retypes a column that a view has drops the view before, makes it again after, and calls tasty.make_roles(),
which gives the privileges on it anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the new tables, move what a login may do to its connection, and open Postgres to applications."""
    postgres = op.get_context().opts["backend"] == "postgres"
    if postgres:
        op.execute(_NEEDS)
    _create_tables()
    _move_authority()
    if postgres:
        _create_indexes()
        for statement in (*_FUNCTIONS, *_policies(), *_views(), *_ROLES):
            op.execute(statement)


def _create_tables() -> None:
    op.create_table('connections',
    sa.Column('connection_id', sa.Text(), autoincrement=False, nullable=False, comment='Its name: `default`, or what its maker chose.'),
    sa.Column('owner', sa.Text(), nullable=True, comment="The application's user that it belongs to, as text; null is the operator's."),
    sa.Column('label', sa.Text(), nullable=False, comment='A name for people.'),
    sa.Column('sandbox', sa.Boolean(), nullable=False, comment='Whether it is a login of the sandbox.'),
    sa.Column('sealed_credentials', sa.Text(), nullable=True, comment='Refresh token, and client secret if it has its own, sealed for the pipeline; null for `default` and after a disconnection.'),
    sa.Column('connected_at', sa.DateTime(timezone=True), nullable=False, comment='When the credentials were last stored.'),
    sa.Column('disconnected_at', sa.DateTime(timezone=True), nullable=True, comment='When its owner or the operator ended it.'),
    sa.Column('state', sa.Text(), nullable=True, comment='active or needs reauthorisation; null until credentials are first tried.'),
    sa.Column('state_reason', sa.Text(), nullable=True, comment='Why it needs reauthorisation, without credentials.'),
    sa.Column('state_changed_at', sa.DateTime(timezone=True), nullable=True, comment='Since when it is in this state.'),
    sa.Column('refused_login', sa.Text(), nullable=True, comment='Keyed digest of the login that was refused and is not tried again.'),
    sa.CheckConstraint("owner NOT IN ('', 'nobody')", name=op.f('connections_owner_check')),
    sa.CheckConstraint("state IN ('active', 'needs reauthorisation')", name=op.f('connections_state_check')),
    sa.PrimaryKeyConstraint('connection_id', name=op.f('connections_pkey')),
    schema='tasty',
    comment="The TastyTrade logins. `default` is the environment's own; of the others the credentials are stored sealed."
    )
    op.create_table('connection_accounts',
    sa.Column('connection_id', sa.Text(), autoincrement=False, nullable=False, comment='The connection.'),
    sa.Column('account_number', sa.Text(), autoincrement=False, nullable=False, comment='The account.'),
    sa.Column('authority_level', sa.Text(), nullable=True, comment='What the login may do, such as owner or read-only.'),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True, comment='Since when the login no longer lists it, or is disconnected.'),
    sa.Column('synced_at', sa.DateTime(timezone=True), nullable=False, comment='Start of the read that last changed this row. A sync that finds it unchanged writes nothing.'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='The run that last changed this row.'),
    sa.PrimaryKeyConstraint('connection_id', 'account_number', name=op.f('connection_accounts_pkey')),
    schema='tasty',
    comment='Which login sees which account; two logins may see one account.'
    )
    op.create_table('access_tokens',
    sa.Column('connection_id', sa.Text(), autoincrement=False, nullable=False, comment='The connection.'),
    sa.Column('sealed_token', sa.Text(), nullable=False, comment='The token; only who holds the credentials can open it.'),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False, comment='When it ends.'),
    sa.PrimaryKeyConstraint('connection_id', name=op.f('access_tokens_pkey')),
    schema='tasty',
    comment="Access tokens between two runs, each sealed with its own connection's credentials."
    )
    op.create_table('sealing_keys',
    sa.Column('key_id', sa.Text(), autoincrement=False, nullable=False, comment='Its name, which stands in everything that was sealed with it.'),
    sa.Column('public_key', sa.Text(), nullable=False, comment='The public key of a libsodium sealed box, base64.'),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False, comment='When the pair was made.'),
    sa.Column('retired_at', sa.DateTime(timezone=True), nullable=True, comment='Since when a newer one is used instead.'),
    sa.PrimaryKeyConstraint('key_id', name=op.f('sealing_keys_pkey')),
    schema='tasty',
    comment="Public halves of the pipeline's key pairs: applications seal credentials with the one that is not retired."
    )
    op.create_table('sync_requests',
    sa.Column('request_id', sa.Text(), autoincrement=False, nullable=False, comment='Unique id, chosen by the application.'),
    sa.Column('owner', sa.Text(), nullable=False, comment='The user whose connections are to be synchronised.'),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False, comment='When it was asked for.'),
    sa.Column('state', sa.Text(), nullable=False, comment='queued, running, done or failed.'),
    sa.Column('run_id', sa.Text(), nullable=True, comment='The Dagster run that works on it.'),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True, comment='When the run began.'),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True, comment='When it was done or failed.'),
    sa.Column('progress', postgresql.JSONB(), nullable=True, comment='By table: state (queued, running, done, failed), rows_read, rows_written.'),
    sa.Column('error', sa.Text(), nullable=True, comment='Why it failed, without credentials.'),
    sa.CheckConstraint("owner NOT IN ('', 'nobody')", name=op.f('sync_requests_owner_check')),
    sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name=op.f('sync_requests_state_check')),
    sa.PrimaryKeyConstraint('request_id', name=op.f('sync_requests_pkey')),
    schema='tasty',
    comment="What applications ask for: a synchronisation of a user's accounts, and how far it has come."
    )
    op.create_table('changes',
    sa.Column('sequence', sa.BigInteger(), autoincrement=False, nullable=False, comment='1, 2, 3 ...: whoever has seen n has missed nothing before it.'),
    sa.Column('table_name', sa.Text(), nullable=False, comment='The table.'),
    sa.Column('account_number', sa.Text(), nullable=False, comment='The account of the row.'),
    sa.Column('row_key', postgresql.JSONB(), nullable=False, comment="The row's key, by column."),
    sa.Column('kind', sa.Text(), nullable=False, comment='insert, update or remove.'),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False, comment='When it was published.'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='The run that published it.'),
    sa.CheckConstraint("kind IN ('insert', 'update', 'remove')", name=op.f('changes_kind_check')),
    sa.PrimaryKeyConstraint('sequence', name=op.f('changes_pkey')),
    schema='tasty',
    comment='The change feed: every row that a publication wrote, in the order of the commits, without a gap.'
    )


def _move_authority() -> None:
    """Give the login that has read the accounts so far its row, and what it may do to its accounts."""
    op.execute(
        "INSERT INTO tasty.connections (connection_id, label, sandbox, connected_at) SELECT 'default', 'default', "
        "EXISTS (SELECT 1 FROM tasty.sync_log WHERE result = 'published' AND environment = 'sandbox'), now() "
        "WHERE EXISTS (SELECT 1 FROM tasty.accounts)"
    )
    op.execute(
        "INSERT INTO tasty.connection_accounts (connection_id, account_number, authority_level, synced_at, run_id) "
        "SELECT 'default', account_number, authority_level, synced_at, run_id FROM tasty.accounts "
        "WHERE removed_at IS NULL"
    )
    op.drop_column("accounts", "authority_level", schema="tasty")
    op.execute(
        "COMMENT ON TABLE tasty.accounts IS "
        "'Every account that a login may see, closed ones too; which login sees it is in connection_accounts.'"
    )
    op.execute(
        "COMMENT ON COLUMN tasty.accounts.removed_at IS 'Since when no connection lists the account any more.'"
    )


def _create_indexes() -> None:
    op.create_index(op.f('connections_owner_idx'), 'connections', ['owner'], unique=False, schema='tasty')
    op.create_index(op.f('connection_accounts_account_number_idx'), 'connection_accounts', ['account_number'], unique=False, schema='tasty')
    op.create_index('sync_requests_open_idx', 'sync_requests', ['owner'], unique=True, schema='tasty', postgresql_where=sa.text("state IN ('queued', 'running')"))
    op.create_index(op.f('sync_requests_owner_requested_at_idx'), 'sync_requests', ['owner', 'requested_at'], unique=False, schema='tasty')
    op.create_index(op.f('changes_account_number_sequence_idx'), 'changes', ['account_number', 'sequence'], unique=False, schema='tasty')


# security_invoker, without which a view would read past the row security of its reader
_NEEDS = """
DO $$ BEGIN
    IF current_setting('server_version_num')::int < 150000 THEN
        RAISE EXCEPTION 'tasty_pipeline needs Postgres 15 or newer';
    END IF;
    -- not IF NOT EXISTS, which wants the right to create schemas even where an administrator has made this one
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'tasty_v1') THEN
        CREATE SCHEMA tasty_v1;
    END IF;
END $$"""

_FUNCTIONS = (
    "COMMENT ON SCHEMA tasty_v1 IS 'Views for applications: their names and columns stay while the tables change.'",
    """
CREATE FUNCTION tasty.unrestricted() RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(current_setting('tasty.current_user', true), '') = '' $$""",
    "COMMENT ON FUNCTION tasty.unrestricted() IS "
    "'Whether the session has set no tasty.current_user: a trusted application, which sees every row.'",
    """
CREATE FUNCTION tasty.visible_connections() RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(connection_id), '{}') FROM tasty.connections
    WHERE owner = current_setting('tasty.current_user', true) AND disconnected_at IS NULL
$$""",
    "COMMENT ON FUNCTION tasty.visible_connections() IS 'The live connections of tasty.current_user.'",
    """
CREATE FUNCTION tasty.visible_accounts() RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT account_number), '{}') FROM tasty.connection_accounts
    WHERE connection_id = ANY (tasty.visible_connections()) AND removed_at IS NULL
$$""",
    "COMMENT ON FUNCTION tasty.visible_accounts() IS 'The accounts that live connections of tasty.current_user see.'",
    """
CREATE FUNCTION tasty.forget_state() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$ BEGIN
    NEW.state := NULL;
    NEW.state_reason := NULL;
    NEW.state_changed_at := NULL;
    RETURN NEW;
END $$""",
    "COMMENT ON FUNCTION tasty.forget_state() IS 'What was known of a connection is void once its credentials change.'",
    """
CREATE TRIGGER forget_state BEFORE UPDATE ON tasty.connections FOR EACH ROW
WHEN (OLD.sealed_credentials IS DISTINCT FROM NEW.sealed_credentials) EXECUTE FUNCTION tasty.forget_state()""",
)

# each as a sub-select, which is computed once for a query and not for every row
_OPEN = "(SELECT tasty.unrestricted())"
_MY_ACCOUNTS = "account_number = ANY ((SELECT tasty.visible_accounts())::text[])"
_ME = "(SELECT current_setting('tasty.current_user', true))"
_MINE = f"owner = {_ME}"
_OF_MY_CONNECTION = "{} = ANY ((SELECT tasty.visible_connections())::text[])"
_VISIBLE = {
    "accounts": _MY_ACCOUNTS,
    "positions": _MY_ACCOUNTS,
    "balances": _MY_ACCOUNTS,
    "balance_snapshots": _MY_ACCOUNTS,
    "transactions": _MY_ACCOUNTS,
    "proven_days": _MY_ACCOUNTS,
    "rejected_rows": _MY_ACCOUNTS,
    "changes": _MY_ACCOUNTS,
    "sync_log": f"{_OF_MY_CONNECTION.format('connection')} OR (result = 'published' AND {_MY_ACCOUNTS})",
    "connection_accounts": _OF_MY_CONNECTION.format("connection_id"),
    # disconnected ones too: their owner may connect them again
    "connections": _MINE,
    "sync_requests": _MINE,
}


def _policies() -> list[str]:
    """Row security: whoever sets tasty.current_user sees that user's rows; the tables' owner is exempt."""
    statements = []
    for table, visible in _VISIBLE.items():
        statements.append(f"ALTER TABLE tasty.{table} ENABLE ROW LEVEL SECURITY")
        statements.append(f"CREATE POLICY visible ON tasty.{table} FOR SELECT USING ({_OPEN} OR {visible})")
    return statements


_VIEWS = {
    'accounts': """
        SELECT account_number, account_type, nickname, margin_or_cash, is_closed, opened_at, closed_at, created_at,
            day_trader_status, investment_objective, investment_time_horizon, liquidity_needs, risk_tolerance,
            suitable_options_level, futures_account_purpose, funding_date, is_firm_error, is_firm_proprietary,
            is_foreign, is_futures_approved, is_test_drive, regulatory_domain, submitting_user_id, ext_account_id,
            ext_crm_id, external_accounts, external_fdid, external_id, removed_at, extra, synced_at, run_id
        FROM tasty.accounts WHERE removed_at IS NULL""",
    'positions': """
        SELECT account_number || '|' || symbol || '|' || instrument_type || '|' || quantity_direction AS id,
            account_number, symbol, instrument_type, quantity_direction, underlying_symbol, streamer_symbol, quantity,
            average_open_price, close_price, multiplier, cost_effect, mark, mark_price,
            average_yearly_market_close_price, average_daily_market_close_price, restricted_quantity, realized_day_gain,
            realized_day_gain_date, realized_today, realized_today_date, is_frozen, is_suppressed, expires_at,
            deliverable_type, fixing_price, face_value, par_size, order_id, update_type, created_at, updated_at, extra,
            synced_at, run_id
        FROM tasty.positions""",
    'balances': """
        SELECT account_number || '|' || currency AS id,
            account_number, currency, snapshot_date, time_of_day, cash_balance, net_liquidating_value,
            long_equity_value, short_equity_value, long_derivative_value, short_derivative_value, long_futures_value,
            short_futures_value, long_futures_derivative_value, short_futures_derivative_value,
            long_index_derivative_value, short_index_derivative_value, long_margineable_value, short_margineable_value,
            long_cryptocurrency_value, short_cryptocurrency_value, long_bond_value, long_fixed_income_security_value,
            margin_equity, equity_buying_power, derivative_buying_power, used_derivative_buying_power,
            day_trading_buying_power, sma_equity_option_buying_power, effective_cryptocurrency_buying_power,
            available_trading_funds, futures_margin_requirement, futures_overnight_margin_requirement,
            futures_intraday_margin_requirement, maintenance_requirement, maintenance_excess, maintenance_call_value,
            reg_t_margin_requirement, reg_t_call_value, day_trading_call_value, day_equity_call_value, day_trade_excess,
            cryptocurrency_margin_requirement, equity_offering_margin_requirement, bond_margin_requirement,
            fixed_income_security_margin_requirement, cash_available_to_withdraw, cash_settle_balance,
            margin_settle_balance, total_settle_balance, closed_loop_available_balance, pending_margin_interest,
            apex_starting_day_margin_equity, special_memorandum_account_value,
            special_memorandum_account_apex_adjustment, total_pending_liquidity_pool_rebate, pending_cash,
            buying_power_adjustment, unsettled_cryptocurrency_fiat_amount, intraday_equities_cash_amount,
            intraday_equities_cash_effective_date, intraday_futures_cash_amount, intraday_futures_cash_effective_date,
            previous_day_cryptocurrency_fiat_amount, previous_date_cryptocurrency_fiat_effective_date, updated_at,
            extra, synced_at, run_id
        FROM tasty.balances""",
    'balance_snapshots': """
        SELECT account_number || '|' || currency || '|' || to_char(snapshot_date, 'YYYY-MM-DD') || '|' || time_of_day AS id,
            account_number, currency, snapshot_date, time_of_day, cash_balance, net_liquidating_value,
            long_equity_value, short_equity_value, long_derivative_value, short_derivative_value, long_futures_value,
            short_futures_value, long_futures_derivative_value, short_futures_derivative_value,
            long_index_derivative_value, short_index_derivative_value, long_margineable_value, short_margineable_value,
            long_cryptocurrency_value, short_cryptocurrency_value, long_bond_value, long_fixed_income_security_value,
            margin_equity, equity_buying_power, derivative_buying_power, used_derivative_buying_power,
            day_trading_buying_power, sma_equity_option_buying_power, effective_cryptocurrency_buying_power,
            available_trading_funds, futures_margin_requirement, futures_overnight_margin_requirement,
            futures_intraday_margin_requirement, maintenance_requirement, maintenance_excess, maintenance_call_value,
            reg_t_margin_requirement, reg_t_call_value, day_trading_call_value, day_equity_call_value, day_trade_excess,
            cryptocurrency_margin_requirement, equity_offering_margin_requirement, bond_margin_requirement,
            fixed_income_security_margin_requirement, cash_available_to_withdraw, cash_settle_balance,
            margin_settle_balance, total_settle_balance, closed_loop_available_balance, pending_margin_interest,
            apex_starting_day_margin_equity, special_memorandum_account_value,
            special_memorandum_account_apex_adjustment, total_pending_liquidity_pool_rebate, pending_cash,
            buying_power_adjustment, unsettled_cryptocurrency_fiat_amount, intraday_equities_cash_amount,
            intraday_equities_cash_effective_date, intraday_futures_cash_amount, intraday_futures_cash_effective_date,
            previous_day_cryptocurrency_fiat_amount, previous_date_cryptocurrency_fiat_effective_date, updated_at,
            removed_at, extra, synced_at, run_id
        FROM tasty.balance_snapshots WHERE removed_at IS NULL""",
    'transactions': """
        SELECT transaction_id, account_number, transaction_type, transaction_sub_type, description, executed_at,
            transaction_date, symbol, instrument_type, underlying_symbol, action, quantity, quantity_unsigned, price,
            value, net_value, commission, clearing_fees, regulatory_fees, proprietary_index_option_fees,
            currency_conversion_fees, other_charge, other_charge_description, is_estimated_fee, currency, created_at,
            order_id, leg_count, exec_id, exchange, exchange_affiliation_identifier, destination_venue,
            ext_exchange_order_number, ext_global_order_number, ext_group_id, ext_group_fill_id, ext_exec_id,
            reverses_id, cost_basis_reconciliation_date, agency_price, principal_price, lots, removed_at, extra,
            synced_at, run_id
        FROM tasty.transactions WHERE removed_at IS NULL""",
    'removed_transactions': """
        SELECT transaction_id, account_number, transaction_type, transaction_sub_type, description, executed_at,
            transaction_date, symbol, instrument_type, underlying_symbol, action, quantity, quantity_unsigned, price,
            value, net_value, commission, clearing_fees, regulatory_fees, proprietary_index_option_fees,
            currency_conversion_fees, other_charge, other_charge_description, is_estimated_fee, currency, created_at,
            order_id, leg_count, exec_id, exchange, exchange_affiliation_identifier, destination_venue,
            ext_exchange_order_number, ext_global_order_number, ext_group_id, ext_group_fill_id, ext_exec_id,
            reverses_id, cost_basis_reconciliation_date, agency_price, principal_price, lots, removed_at, extra,
            synced_at, run_id
        FROM tasty.transactions WHERE removed_at IS NOT NULL""",
    'proven_days': """
        SELECT account_number || '|' || table_name || '|' || to_char(day, 'YYYY-MM-DD') AS id,
            account_number, table_name, day, row_count, digest, synced_at, run_id
        FROM tasty.proven_days""",
    'rejected_rows': """
        SELECT account_number || '|' || table_name || '|' || payload_digest AS id,
            account_number, table_name, payload_digest, row_key, window_start, window_end, reason, payload, resolved_at,
            synced_at, run_id
        FROM tasty.rejected_rows""",
    'sync_log': """
        SELECT sync_id, connection, environment, account_number, table_name, window_start, window_end, result, rows_read,
            rows_inserted, rows_updated, rows_removed, rows_rejected, digest, windows, requests, retries, throttled,
            read_started_at, read_ended_at, error, synced_at, run_id
        FROM tasty.sync_log""",
    'connections': """
        SELECT connection_id, owner, label, sandbox, connected_at, disconnected_at, CASE WHEN disconnected_at IS NULL THEN
            coalesce(state, 'new') ELSE 'disconnected' END AS state, state_reason, state_changed_at
        FROM tasty.connections""",
    'connection_accounts': """
        SELECT connection_id || '|' || account_number AS id,
            connection_id, account_number, authority_level, removed_at, synced_at, run_id
        FROM tasty.connection_accounts WHERE removed_at IS NULL""",
    'sync_requests': """
        SELECT request_id, owner, requested_at, state, run_id, started_at, ended_at, progress, error
        FROM tasty.sync_requests""",
    'changes': """
        SELECT sequence, table_name, account_number, row_key, kind, changed_at, run_id
        FROM tasty.changes""",
    'sealing_keys': """
        SELECT key_id, public_key, created_at, retired_at
        FROM tasty.sealing_keys""",
    'schema_version': """
        SELECT version_num AS version FROM tasty.schema_version""",
}


def _views() -> list[str]:
    made = [f"CREATE VIEW tasty_v1.{name} WITH (security_invoker = true) AS {text}" for name, text in _VIEWS.items()]
    return [*made, _VIEW_COMMENTS, *_MORE_COMMENTS]


# what stands in a view as it stands in its table says the same there
_VIEW_COMMENTS = """
DO $$
DECLARE
    said record;
BEGIN
    FOR said IN
        SELECT seen.relname, obj_description(kept.oid) AS text FROM pg_catalog.pg_class seen
        JOIN pg_catalog.pg_class kept ON kept.relname = seen.relname AND kept.relnamespace = 'tasty'::regnamespace
        WHERE seen.relnamespace = 'tasty_v1'::regnamespace
    LOOP
        EXECUTE 'COMMENT ON VIEW tasty_v1.' || quote_ident(said.relname) || ' IS ' || quote_literal(said.text);
    END LOOP;
    FOR said IN
        SELECT seen.relname, part.attname, col_description(kept.oid, own.attnum) AS text
        FROM pg_catalog.pg_class seen
        JOIN pg_catalog.pg_class kept ON kept.relnamespace = 'tasty'::regnamespace
            AND kept.relname = CASE seen.relname WHEN 'removed_transactions' THEN 'transactions' ELSE seen.relname END
        JOIN pg_catalog.pg_attribute part ON part.attrelid = seen.oid
        JOIN pg_catalog.pg_attribute own ON own.attrelid = kept.oid AND own.attname = part.attname
        WHERE seen.relnamespace = 'tasty_v1'::regnamespace AND part.attnum > 0
    LOOP
        EXECUTE 'COMMENT ON COLUMN tasty_v1.' || quote_ident(said.relname) || '.' || quote_ident(said.attname)
            || ' IS ' || quote_literal(said.text);
    END LOOP;
END $$"""

_LIVE = "those that are marked removed are left out"
_MORE_COMMENTS = (
    f"COMMENT ON VIEW tasty_v1.accounts IS 'The accounts, closed ones too; {_LIVE}.'",
    f"COMMENT ON VIEW tasty_v1.balance_snapshots IS "
    f"'Balances at the beginning (BOD) and the end (EOD) of each trading day; {_LIVE}.'",
    f"COMMENT ON VIEW tasty_v1.transactions IS 'Every transaction of the history; {_LIVE}.'",
    "COMMENT ON VIEW tasty_v1.removed_transactions IS 'Transactions that the broker no longer lists.'",
    f"COMMENT ON VIEW tasty_v1.connection_accounts IS "
    f"'Which login sees which account; two logins may see one account; {_LIVE}.'",
    "COMMENT ON COLUMN tasty_v1.connections.state IS "
    "'new (never tried with these credentials), active, needs reauthorisation or disconnected.'",
    "COMMENT ON COLUMN tasty_v1.schema_version.version IS 'Number of the last migration.'",
    *(
        f"COMMENT ON COLUMN tasty_v1.{name}.id IS 'The key of the row as one text: its parts, joined by |.'"
        for name, text in _VIEWS.items()
        if " AS id," in text
    ),
)

_TABLES = (
    "accounts, positions, balances, balance_snapshots, transactions, proven_days, rejected_rows, sync_log, "
    "connections, connection_accounts, access_tokens, sealing_keys, sync_requests, changes"
)
_ALL_TABLES = ", ".join(f"tasty.{name}" for name in _TABLES.split(", "))
# all but the two that hold what is sealed
_READ_TABLES = ", ".join(
    f"tasty.{name}" for name in _TABLES.split(", ") if name not in {"connections", "access_tokens"}
)
_READ_COLUMNS = (
    "connection_id, owner, label, sandbox, connected_at, disconnected_at, state, state_reason, state_changed_at"
)
_ALL_VIEWS = ", ".join(f"tasty_v1.{name}" for name in _VIEWS)
_MAY = f"({_OPEN} OR {_MINE})"
_AN_APPLICATIONS = f"owner IS NOT NULL AND connection_id <> 'default' AND {_MAY}"

_ROLES = (
    f"""
CREATE FUNCTION tasty.make_roles() RETURNS boolean LANGUAGE plpgsql
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
    "COMMENT ON FUNCTION tasty.make_roles() IS 'Makes the roles tasty_pipeline, tasty_reader and tasty_app where they "
    "are missing, and gives them their rights; false where the caller may not make roles.'",
    "REVOKE EXECUTE ON FUNCTION tasty.make_roles() FROM PUBLIC",
    "DO $$ BEGIN PERFORM tasty.make_roles(); END $$",
)
