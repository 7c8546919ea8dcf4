"""Files that users name, or the folders for them."""

from pathlib import Path

import pytest

from ndg.errors import ConfigError
from ndg.paths import file_of


def test_a_file_goes_into_a_folder_that_is_there_or_ends_in_a_slash(tmp_path):
    assert file_of(tmp_path, "graph.svg") == tmp_path / "graph.svg"
    (tmp_path / "v1.2").mkdir()
    assert file_of(tmp_path / "v1.2", "graph.svg") == tmp_path / "v1.2" / "graph.svg"
    assert file_of(f"{tmp_path}/new/", "graph.svg") == tmp_path / "new" / "graph.svg"


def test_another_path_is_the_file_with_a_suffix(tmp_path):
    assert file_of("three", "graph.svg") == Path("three.svg")
    assert file_of("three.html", "graph.svg") == Path("three.html")
    with pytest.raises(ConfigError, match="the picture must be text without NUL"):
        file_of("a\0", "graph.svg", "the picture")
