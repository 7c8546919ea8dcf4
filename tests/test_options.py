"""Options of a run, keywords from before there were any, and the base of results."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ndg.errors import ConfigError
from ndg.options import RunOptions, old_keywords
from ndg.results import Result

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Settings:
    beta: float = 1.0
    draws: int = 1


@old_keywords(settings=Settings, options=RunOptions, renamed={"internal_batch_size": "batch"})
def study(
    data: list[int], *, settings: Settings = Settings(), options: RunOptions = RunOptions()
) -> tuple[list[int], Settings, RunOptions]:
    """A study."""
    return data, settings, options


def test_values_pass_without_a_warning(recwarn):
    options = RunOptions(seed=3)
    assert study([1], settings=Settings(0.5), options=options) == ([1], Settings(0.5), options)
    assert not recwarn


def test_old_keywords_become_fields_with_a_warning():
    with pytest.warns(DeprecationWarning, match="is deprecated; pass") as warned:
        assert study([1], beta=0.5, seed=3, internal_batch_size=8) == ([1], Settings(0.5), RunOptions(seed=3, batch=8))
    assert [str(one.message) for one in warned] == [
        "study(beta=...) is deprecated; pass settings=Settings(beta=...)",
        "study(seed=..., batch=...) is deprecated; pass options=RunOptions(seed=..., batch=...)",
    ]


def test_the_warning_points_to_the_caller():
    """In a process of its own, without the checks of types that tests add around each function."""
    code = "from ndg.options import RunOptions, old_keywords\n"
    code += "@old_keywords(options=RunOptions)\ndef study(options=RunOptions()): pass\n"
    code += "study(seed=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.startswith("<string>:4: DeprecationWarning: study(seed=...) is deprecated")


def test_an_old_keyword_changes_a_value_that_is_passed_too():
    with pytest.warns(DeprecationWarning, match="is deprecated; pass"):
        _, settings, _ = study([1], settings=Settings(0.5, draws=4), beta=0.25)
    assert settings == Settings(0.25, 4)


def test_an_unknown_keyword_names_the_nearest():
    with pytest.raises(TypeError, match=r"study\(\) has no parameter 'bta'; .*beta"):
        study([1], bta=0.5)


def test_methods_own_keywords_pass_through():
    @old_keywords(options=RunOptions)
    def score(*, options: RunOptions = RunOptions(), **own: int) -> tuple[RunOptions, dict[str, int]]:
        return options, own

    with pytest.warns(DeprecationWarning, match="is deprecated; pass"):
        assert score(threads=2, norm=1) == (RunOptions(threads=2), {"norm": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "a compute batch has at least 1 example; got batch=0"),
        ({"threads": 0}, "a forward pass runs on at least 1 thread; got threads=0"),
        ({"timeout": 0}, "a timeout is a number of seconds above 0; got 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(RunOptions(), **change)


@dataclass(frozen=True)
class Rates(Result):
    rates: dict[str, float | None]

    def rows(self):
        return [{"name": name, "rate": rate} for name, rate in self.rates.items()]

    def words(self):
        return f"{len(self.rates)} rates < 1"

    def context(self):
        return {"split": "test"}


def test_a_result_is_a_frame_a_document_and_a_page():
    result = Rates({"a<b": 0.5, "none": None})
    assert result.frame()["name"].tolist() == ["a<b", "none"]
    assert result.to_dict() == {"split": "test", "rows": result.rows()}
    page = result._repr_html_()
    assert "<td>a&lt;b</td><td>0.500</td>" in page
    assert "<td>–</td>" in page
    assert page.endswith("<p>2 rates &lt; 1</p>")


def test_a_result_without_words_cannot_be_made():
    class Silent(Result):
        def rows(self):
            return []

    with pytest.raises(TypeError, match="words"):
        Silent()
