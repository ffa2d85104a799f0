"""`python -m tasty_pipeline.cli`."""

import sys

from tasty_pipeline.cli import main

sys.exit(main())
