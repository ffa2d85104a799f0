"""Django's commands for the example, with the environment that `monolith/settings.py` asks for."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monolith.settings")
    execute_from_command_line(sys.argv)
