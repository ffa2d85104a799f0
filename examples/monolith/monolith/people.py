"""Who can log in to the example: obviously fake, printed by `make monolith`, and of use on this machine alone."""

USERS = ("alice", "bob")
OPERATOR = "operator"


def password_of(name: str) -> str:
    """Return the password that a user of the example begins with."""
    return f"{name}-of-the-simulator"
