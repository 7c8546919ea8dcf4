"""Everything that is read from files, configs and arguments, as kinds to damage."""

from __future__ import annotations

from tests.fuzzing.data_files import DATA_FILES
from tests.fuzzing.files import FILES
from tests.fuzzing.harness import Kind
from tests.fuzzing.words import WORDS

KINDS: dict[str, Kind] = FILES | DATA_FILES | WORDS
"""Every kind of input, by name."""
