"""Options: validated from signatures, canonical, documented."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from harness.errors import DomainError, OptionError
from harness.registry.options import (
    check_domain,
    constructor_arguments,
    dataset_options,
    describe_options,
    scorer_options,
    validate_options,
)
from oodbench import Dataset, Images, Scorer, Tokens


class Example:
    """An example.

    Arguments:
        count: How many,
            over two lines.
        kind: Which one.

    Returns:
        Nothing.
    """

    def __init__(
        self,
        domain: Images,
        *,
        count: Annotated[int, Field(ge=1)],
        rate: float = 0.5,
        kind: Literal["a", "b"] = "a",
        path: Path = Path("x"),
        sizes: tuple[int, ...] = (1,),
        source: Dataset | None = None,
    ) -> None:
        self.arguments = (domain, count, rate, kind, path, sizes, source)


def with_source(*, source: Dataset, scale: int = 2) -> object:
    return (source, scale)


def problems(options):
    with pytest.raises(OptionError) as caught:
        validate_options(Example, options)
    return sorted(str(problem) for problem in caught.value.problems)


def test_defaults_are_filled_in_so_that_the_form_is_canonical():
    assert validate_options(Example, {"count": 3}) == validate_options(
        Example, {"rate": 0.5, "sizes": [1], "kind": "a", "path": "x", "count": 3}
    )


def test_an_integer_stands_for_a_number_in_one_form():
    rate = validate_options(Example, {"count": 3, "rate": 1})["rate"]
    assert (rate, type(rate)) == (1.0, float)


def test_every_mistake_is_reported_at_once_with_the_nearest_name():
    found = problems({"cuont": 3, "rate": "fast", "kind": "c"})
    assert found == [
        "count: missing option",
        "cuont: unknown option (did you mean 'count'?)",
        "kind: input should be 'a' or 'b', not 'c'",
        "rate: input should be a valid number, not 'fast'",
    ]


@pytest.mark.parametrize("count", ["3", 3.5, True, None, 0])
def test_values_are_not_coerced(count):
    assert any(problem.startswith("count: ") for problem in problems({"count": count}))


def test_not_a_number_is_refused():
    assert problems({"count": 1, "rate": float("nan")})


def test_the_domain_is_no_option():
    assert problems({"count": 1, "domain": 3})[0].startswith("domain: unknown option")


def test_the_domain_of_a_constructor_with_some_options_set():
    check_domain(partial(partial(Example, count=1), rate=1), Images(1, 2, 2))
    with pytest.raises(DomainError, match="takes Images, not Tokens"):
        check_domain(partial(Example, count=1), Tokens(3))


def test_arguments_have_the_declared_types():
    options = validate_options(Example, {"count": 1, "sizes": [2, 3], "path": "a/b"})
    arguments = constructor_arguments(Example, options, {})
    assert arguments["sizes"] == (2, 3)
    assert arguments["path"] == Path("a/b")


def test_a_data_set_option_is_given_by_name():
    options = validate_options(with_source, {"source": "digits"})
    assert dataset_options(with_source) == ["source"]
    digits = object()
    assert constructor_arguments(with_source, options, {"digits": digits}) == {
        "source": digits,
        "scale": 2,
    }


def with_scorers(*, first: Scorer, others: tuple[Scorer, ...], scale: int = 2) -> object:
    return (first, others, scale)


def test_scorer_options_are_given_by_names_and_each_is_built_for_its_place():
    options = validate_options(with_scorers, {"first": "a", "others": ["b", "a"]})
    assert options == {"first": "a", "others": ["b", "a"], "scale": 2}
    assert scorer_options(with_scorers, options) == {"first": ["a"], "others": ["b", "a"]}
    assert dataset_options(with_scorers) == []

    class Built:
        def __init__(self, name):
            self.name = name

    scorers = {name: lambda name=name: Built(name) for name in "ab"}
    arguments = constructor_arguments(with_scorers, options, {}, scorers)
    first, (second, third) = arguments["first"], arguments["others"]
    assert [item.name for item in (first, second, third)] == ["a", "b", "a"]
    assert first is not third
    assert arguments["scale"] == 2


def test_options_are_described_by_the_docstring():
    described = {option.name: option for option in describe_options(Example)}
    assert described["count"].meaning == "How many, over two lines."
    assert described["kind"].meaning == "Which one."
    assert described["count"].required
    assert described["rate"].type == "float"
    assert "domain" not in described


def test_a_class_without_a_constructor_has_no_options():
    class Plain:
        pass

    assert validate_options(Plain, {}) == {}
