#!/usr/bin/env python3
"""Train the networks of configs and log the runs: `python train_models.py [CONFIG ...] [key=value ...]`."""

import sys

import global_params
from ndg.cli import main

if __name__ == "__main__":
    where = {"data": global_params.DATA_DIR, "runs": global_params.RUN_DIR, "store": global_params.STORE_URI}
    sys.exit(main(["train", *sys.argv[1:]], program="train_models.py", **where))
