"""The brokerage's time: real, shifted, or standing still until it is moved."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Give the time. A frozen clock stands; a live one runs with the real time plus what it was advanced by."""

    def __init__(self, frozen: datetime | None) -> None:
        self._frozen = frozen.astimezone(UTC) if frozen else None
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the time in UTC, in whole milliseconds."""
        now = self._frozen if self._frozen is not None else datetime.now(UTC) + self._offset
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def set(self, moment: datetime) -> None:
        """Freeze the clock at a moment."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone")
        self._frozen = moment.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        """Move the clock on; a live one keeps running."""
        if self._frozen is not None:
            self._frozen += by
        else:
            self._offset += by
