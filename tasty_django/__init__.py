"""The application's side of tasty_pipeline: read-only models of its tables, admin, pages, requests, the change feed.

A Django app of its own: it imports Django, psycopg and PyNaCl, never the pipeline or Dagster. The database's views in
`tasty_v1` are the only thing that the two share.
"""
