"""Learning rates step by step, as one would draw them on paper."""

from __future__ import annotations

import math


def rates(schedule: str, warmup: float, steps: int) -> list[float]:
    """The fraction of the learning rate at every step."""
    rising = round(warmup * steps) if schedule != "triangular" else round(steps / 2)
    found = []
    for step in range(steps):
        if step < rising:
            found.append(sum(1 / rising for _ in range(step + 1)))
            continue
        after = step - rising
        length = steps - rising
        if schedule == "constant":
            found.append(1.0)
        elif schedule == "cosine":
            found.append((1 + math.cos(after / length * math.pi)) / 2)
        else:
            found.append(1 - sum(1 / length for _ in range(after)))
    return found
