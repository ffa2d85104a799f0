"""The run config of the assets: what an operator may say in the launchpad."""

import dagster as dg
from pydantic import Field


class SyncConfig(dg.Config):
    """Which logins and accounts, and whether to write."""

    connections: list[str] = Field(default=[], description="Connections to synchronise; empty = every login.")
    accounts: list[str] = Field(default=[], description="Account numbers to synchronise; empty = every account.")
    dry_run: bool = Field(default=False, description="Read and report what would change; write nothing.")
    confirm_mass_removal: bool = Field(
        default=False,
        description="Confirm that rows which the API no longer lists are really gone, however many they are.",
    )


class HistoryConfig(SyncConfig):
    """How far to look back from the first partition of the run."""

    lookback_days: int = Field(
        default=0, ge=0, le=36500, description="Days before the first partition to read again: rows are booked late."
    )
    whole_if_new: bool = Field(
        default=False,
        description="Read the whole history of an account that has none yet, as far back as the other accounts'.",
    )
    verify_totals: bool = Field(
        default=False,
        description="Compare the whole history's total with the table's, and read all of it again where they differ.",
    )
