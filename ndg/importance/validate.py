"""Checks for settings that do not apply to a method."""

from __future__ import annotations

from ndg.errors import ConfigError
from ndg.importance.settings import Settings


def no_class(settings: Settings, name: str) -> None:
    """Raise ConfigError if a class is given."""
    if settings.target is not None:
        raise ConfigError(f"{name} does not use a target class; got target={settings.target}; leave it out")


def no_baseline(settings: Settings, name: str) -> None:
    """Raise ConfigError if a baseline other than the default is given."""
    if not (isinstance(settings.baselines, str) and settings.baselines == "zero"):
        baselines = settings.baselines if isinstance(settings.baselines, (str, float, int)) else "tensors"
        raise ConfigError(f"{name} does not use baselines; got baselines={baselines!r}; leave it out")
