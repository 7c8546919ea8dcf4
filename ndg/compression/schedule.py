"""How much is pruned after each step."""

from __future__ import annotations

from ndg.errors import ConfigError, nearest

SCHEDULES = ("linear", "cubic")


def shares(share: float, steps: int, schedule: str = "cubic") -> list[float]:
    """Shares of the first network that are gone after each step.

    The last is `share`.

    One step is one-shot pruning. `linear` takes equal shares, `cubic` more in early steps (Zhu & Gupta 2017):
    share (1 - (1 - k / steps)^3) after step k. Raises ConfigError for other schedules, fewer than one step or a share
    outside (0, 1).
    """
    if schedule not in SCHEDULES:
        raise ConfigError(
            f"a schedule of pruning is {' or '.join(SCHEDULES)}; got {schedule!r}; {nearest(schedule, SCHEDULES)}"
        )
    if not 0 < share < 1 or steps < 1:
        raise ConfigError(f"pruning takes a share inside (0, 1) in at least 1 step; got share={share:g}, steps={steps}")
    power = 1 if schedule == "linear" else 3
    return [share * (1 - (1 - step / steps) ** power) for step in range(1, steps)] + [share]
