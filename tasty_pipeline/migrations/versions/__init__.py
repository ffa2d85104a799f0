"""Revisions, one file each, named by number. Frozen once released; nothing else belongs here."""
