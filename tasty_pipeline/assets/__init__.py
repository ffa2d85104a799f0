"""The tables as software-defined assets: each says its window, what it fetches and publishes, and its metadata."""
