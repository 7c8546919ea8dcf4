"""Damage every kind of input many times, and report what is not refused cleanly.

    python -m tools.fuzz [--rounds N] [--first N] [--only WORD]        # make fuzz

Each kind is damaged N times. A damaged input must be refused with a message, or give what the sound one gives. Exits
with 1 for a traceback, a hang or a silent change; `--only KIND --first NUMBER --rounds 1` makes one again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from tests.fuzzing import harness
from tests.fuzzing.kinds import KINDS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2000, help="damaged inputs of each kind (default: 2000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    parser.add_argument("--only", default="", help="kinds whose name contains this word")
    options = parser.parse_args(arguments)
    faults = 0
    for name, kind in KINDS.items():
        if options.only not in name:
            continue
        outcomes: Counter[str] = Counter()
        for case in harness.run(name, kind, range(options.first, options.first + options.rounds)):
            outcomes[case.outcome] += 1
            if case.outcome in harness.FAULTS:
                faults += 1
                print(case, file=sys.stderr, flush=True)
        print(f"{name:20} {', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
