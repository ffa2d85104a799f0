"""Tests of `core.sync`, `core.publish` and `core.audits`: a real simulator over HTTP, real databases."""
