"""`python -m ndg`."""

import sys

from ndg.cli import main

sys.exit(main())
