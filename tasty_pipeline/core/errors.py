"""The taxonomy of failures: what went wrong, and what a person does about it.

Here belongs every exception that the core raises on purpose. Whether a failure may be retried is decided once, by the
class that is chosen where the failure is seen; nobody decides it again by reading a message.
"""

from collections.abc import Sequence


class TastyError(Exception):
    """A failure with its remedy: `what` happened and, as a second sentence, what to do (`remedy`).

    Neither text ever holds a credential.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} What to do: {self.remedy}"


class ConfigurationError(TastyError):
    """A setting is missing, half there or makes no sense. Nothing was read or written."""


class TransientError(TastyError):
    """The API could not answer now (408, 429, 5xx, a connection lost, a time-out) within the retry budget."""


class PermanentError(TastyError):
    """The API refused and will refuse again: 400, 403, 404, 406, 422. Never retried."""


class NotFoundError(PermanentError):
    """The API knows nothing of that name (404)."""


class AuthenticationError(TastyError):
    """The login was refused. Never retried: repeated failed logins block the caller's IP for hours."""


class IncompleteAnswerError(TastyError):
    """An answer could not be proven complete. The old rows stay."""


class ContractError(TastyError):
    """An answer does not have the shape that every answer of its kind has."""


class MassRemovalError(TastyError):
    """An answer would remove more rows than a correction ever does. Nothing was changed."""


class StaleReadError(TastyError):
    """A newer read of the same rows was published while this one was under way. Nothing was changed."""


class AuditError(TastyError):
    """What was about to be published is not what was proven. The transaction was rolled back."""


class WarehouseError(TastyError):
    """The database could not be opened, read or written. Nothing was half-written."""


class WarehouseLockedError(WarehouseError):
    """Another process holds the DuckDB file, or another session a lock, for longer than we wait."""


class WarehouseUnavailableError(WarehouseError):
    """The database does not answer, or is not a database."""


class WarehouseRightsError(WarehouseError):
    """The file, the folder or the role does not allow what has to be done."""


class SchemaVersionError(WarehouseError):
    """The tables were made by a newer version of this package."""


class SyncFailedError(TastyError):
    """Accounts or logins failed; what succeeded is committed. `failures` holds (subject, error) pairs.

    A subject is an account's number, or `login NAME`.
    """

    def __init__(self, subject: str, failures: Sequence[tuple[str, TastyError]]) -> None:
        self.failures = tuple(failures)
        named = " ".join(f"[{name}] {error.what}" for name, error in failures)
        remedies = " ".join(dict.fromkeys(error.remedy for _, error in failures))
        logins = sum(name.startswith("login ") for name, _ in failures)
        counts = [(logins, "login"), (len(self.failures) - logins, "account")]
        count = " and ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in counts if number)
        super().__init__(
            f"{subject}: {count} failed; what succeeded is committed. {named}",
            f"{remedies} Then run the same selection again; nothing is doubled by running it twice.",
        )
