#!/usr/bin/env python3
"""Mine, try, score, log and draw trained networks: `python align.py [CONFIG|RUN ...] [key=value ...]`."""

import sys

import global_params
from ndg.cli import main

if __name__ == "__main__":
    where = {"data": global_params.DATA_DIR, "runs": global_params.RUN_DIR, "store": global_params.STORE_URI}
    sys.exit(main(["align", *sys.argv[1:]], program="align.py", **where))
