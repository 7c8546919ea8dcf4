"""The mutants fit the code as it is, and the command that tries them tells killed from survived, stale and broken."""

from __future__ import annotations

import pytest

from tools.mutant_list import MUTANTS, Mutant
from tools.mutants import ROOT, main, stale


def test_the_text_of_every_mutant_is_in_its_file_once():
    assert [why for mutant in MUTANTS if (why := stale(ROOT, mutant))] == []


def test_there_are_many_mutants_and_each_changes_something():
    assert len(MUTANTS) >= 30
    assert len({(mutant.file, mutant.old) for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


def test_the_tests_of_every_mutant_are_there():
    for mutant in MUTANTS:
        for test in mutant.tests:
            file, _, name = test.partition("::")
            assert name in (ROOT / file).read_text(), test


@pytest.fixture
def repository(tmp_path):
    """A module with a bound, and a test of one side of it."""
    (tmp_path / "limit.py").write_text("def fits(n):\n    return n <= 10\n")
    text = "from limit import fits\n\n\ndef test_fits():\n    assert fits(9)\n    assert not fits(11)\n"
    (tmp_path / "test_limit.py").write_text(text)
    return tmp_path


def mutant(old: str, new: str, *tests: str) -> Mutant:
    return Mutant("limit.py", old, new, tests or ("test_limit.py",))


@pytest.mark.slow
def test_killed_survived_stale_and_broken_mutants_are_told_apart(repository, capsys):
    bad = [mutant("<= 10", "< 10"), mutant(">= 10", "> 10")]
    assert main(["--jobs", "2"], [mutant("<= 10", "<= 8"), mutant("<= 10", "<= 11")], repository) == 0
    assert capsys.readouterr().out.endswith("2 of 2 mutants killed\n")
    assert main([], bad, repository) == 1
    printed = capsys.readouterr().out
    assert "survived limit.py: '<= 10' -> '< 10'" in printed
    assert "stale    limit.py: '>= 10' -> '> 10' limit.py has '>= 10' 0 times; once is needed" in printed
    assert (repository / "limit.py").read_text() == "def fits(n):\n    return n <= 10\n"


@pytest.mark.slow
def test_tests_that_fail_without_a_change_end_the_command(repository):
    (repository / "test_limit.py").write_text("def test_fails():\n    assert False\n")
    with pytest.raises(SystemExit, match="the tests must pass without any change"):
        main([], [mutant("<= 10", "< 10")], repository)
    with pytest.raises(SystemExit, match="pytest ended with 4"):
        main([], [mutant("<= 10", "< 10", "no_such_test.py")], repository)
