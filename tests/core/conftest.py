"""Settings of the properties in this folder; fixtures for everybody are in tests/conftest.py."""

from hypothesis import settings

# time is measured where it matters; a busy machine must not fail a property
settings.register_profile("core", deadline=None)
settings.load_profile("core")
