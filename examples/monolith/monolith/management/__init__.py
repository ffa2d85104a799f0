"""The project's own commands of `manage.py`."""
