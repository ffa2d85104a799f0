"""The fault harness: searches that try to make the tables disagree with the broker's books, or a reader see half."""
