"""The warehouse on both backends."""
