"""A database that an application reads, in exact, provable agreement with a TastyTrade brokerage account."""
