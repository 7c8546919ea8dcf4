"""Conformance suites for criteria, scores, stores, executors and binarizers.

    from ndg.testing import check_criterion, check_store

    def test_my_criterion():
        check_criterion(MyCriterion(bound=0.9))

    def test_my_store(tmp_path):
        numbers = itertools.count()
        check_store(lambda: MyStore(tmp_path / str(next(numbers))))

Each suite is a dictionary of checks by name, so that a test framework can run them one by one:

    @pytest.mark.parametrize("name", CRITERION_CHECKS)
    def test_my_criterion(name):
        CRITERION_CHECKS[name](MyCriterion(bound=0.9))

A check that fails raises ConformanceError, an AssertionError with the broken rule. No test framework is needed.
"""

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.testing.binarizers import BINARIZER_CHECKS as BINARIZER_CHECKS
    from ndg.testing.binarizers import check_binarizer as check_binarizer
    from ndg.testing.checks import ConformanceError as ConformanceError
    from ndg.testing.criteria import CRITERION_CHECKS as CRITERION_CHECKS
    from ndg.testing.criteria import check_criterion as check_criterion
    from ndg.testing.executors import EXECUTOR_CHECKS as EXECUTOR_CHECKS
    from ndg.testing.executors import check_executor as check_executor
    from ndg.testing.methods import METHOD_CHECKS as METHOD_CHECKS
    from ndg.testing.methods import check_method as check_method
    from ndg.testing.stores import STORE_CHECKS as STORE_CHECKS
    from ndg.testing.stores import check_store as check_store

__getattr__, __dir__, __all__ = lazily(__name__)
