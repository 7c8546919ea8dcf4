"""Exit codes and suggestions."""

from ndg import errors


def test_a_users_mistake_exits_with_2_and_a_failure_with_1():
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.NDGError):
            assert kind.exit_code == (2 if issubclass(kind, errors.UserError) else 1), kind


def test_the_exception_tree_is_drawn_in_the_module():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.NDGError):
            assert name in errors.__doc__, name


def test_nearest_names_what_was_meant_or_what_there_is():
    assert errors.nearest("alhpa", ["alpha", "beta"]) == "nearest: alpha"
    assert errors.nearest("zzz", ["alpha", "beta"]) == "there is: alpha, beta"
    assert errors.nearest("zzz", []) == "there is none"
    assert errors.nearest("zzz", [f"k{i}" for i in range(15)]).endswith("k11 and 3 more")
