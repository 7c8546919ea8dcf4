"""Packages and bytes of the core and of `[all]`, as far as this environment has them.

python -m tools.install_size
"""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def packages(extras: tuple[str, ...] = ()) -> dict[str, Distribution]:
    """The packages that an install with these extras brings, without the project itself, by name."""
    found: dict[str, Distribution] = {}
    seen: set[str] = set()
    waiting = [*PROJECT["dependencies"], *(text for name in extras for text in _extra(name))]
    while waiting:
        text = waiting.pop()
        requirement = Requirement(text)
        if text in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(text)
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:  # of another platform
            continue
        found[canonicalize_name(requirement.name)] = package
        waiting += _requirements(package, requirement.extras)
    return found


def _extra(name: str) -> list[str]:
    """Requirements of an extra; `all` names the others in brackets."""
    texts: list[str] = []
    for text in PROJECT["optional-dependencies"][name]:
        requirement = Requirement(text)
        own = requirement.name == PROJECT["name"]
        texts += [each for extra in sorted(requirement.extras) for each in _extra(extra)] if own else [text]
    return texts


def _requirements(package: Distribution, extras: set[str]) -> list[str]:
    """What a package requires here, with some of its extras."""
    chosen = []
    for requirement in map(Requirement, package.requires or ()):
        marker, requirement.marker = requirement.marker, None
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            chosen.append(str(requirement))
    return chosen


def size(package: Distribution) -> int:
    """Bytes of the files of a package."""
    paths = [Path(str(file.locate())) for file in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def words(name: str, extras: tuple[str, ...]) -> str:
    """Number of packages of an install, and their size in GB."""
    sizes = {each: size(package) for each, package in packages(extras).items()}
    total, torch = (f"{count / 1e9:.1f}" for count in (sum(sizes.values()), sizes["torch"]))
    return f"{name}: {len(sizes)} packages, {total} GB, PyTorch {torch} of it"


if __name__ == "__main__":
    print(words("core", ()))
    print(words("[all]", ("all",)))
