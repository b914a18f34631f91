"""Plain data read with care."""

from __future__ import annotations

import math

import pytest

from moestat.errors import InputError
from moestat.montecarlo.reading import SAID, Table, at, check_numbers, shown, whole


@pytest.mark.parametrize("value", [True, "1", 1.5, math.nan, math.inf, None, [1], 10**400, -1, 11])
def test_a_whole_number_is_one_within_limits(value):
    with pytest.raises(InputError, match=r"^design.n must be a whole number from 0 to 10"):
        whole(value, "design.n", 0, 10)


def test_whole_numbers_may_be_written_as_others():
    assert whole(1e3, "n") == 1000
    assert isinstance(whole(1e3, "n"), int)


@pytest.mark.parametrize("value", [True, "1", math.nan, math.inf, None, [1], 10**400, 1e51, -1e51, 0.0, 3.0])
def test_a_number_is_finite_and_within_limits(value):
    with pytest.raises(InputError, match=r"^verdict.margin must be a finite number larger than 0 of at most 2"):
        Table({"margin": value}, "verdict").number("margin", above=0.0, most=2.0)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"slopes": [[0.5], [True]]}, r"p.slopes\[1\]\[0\]"),
        ({"slopes": [[0.5], ["1"]]}, r"p.slopes\[1\]\[0\]"),
        ([{"a": 1.0}, {"a": None}], r"p\[1\].a"),
        (math.nan, "p"),
        ([math.inf], r"p\[0\]"),
        (10**60, "p"),
    ],
)
def test_what_is_no_number_is_found_in_tables_and_lists(value, path):
    with pytest.raises(InputError, match=rf"^{path} must be a number"):
        check_numbers(value, "p")


def test_bounds_may_be_infinite():
    check_numbers({"variances": [0.1, math.inf], "slopes": [-math.inf, 3]}, "bounds", infinite=True)
    with pytest.raises(InputError, match=r"^bounds.variances\[1\]"):
        check_numbers({"variances": [0.1, math.nan]}, "bounds", infinite=True)


def test_unknown_keys_are_refused_with_what_may_have_been_meant():
    table = Table({"replicatons": 3}, "design")
    table.take("replications", 1)
    with pytest.raises(InputError, match=r"^design.replicatons is not known.*replications"):
        table.done()


def test_a_missing_key_is_named_with_what_may_have_been_meant():
    with pytest.raises(InputError, match=r"^design.replications is missing.*replicatons"):
        Table({"replicatons": 3}, "design").take("replications")


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        ("text", 3, "must be text"),
        ("text", "a" * 5000, "at most 4000"),
        ("text", "a\x00", "control characters"),
        ("text", "\x1b[31m", "control characters"),
        ("word", "a b", "must be a name"),
        ("word", "", "must not be empty"),
        ("word", "a/b", "must be a name"),
        ("flag", 1, "true or false"),
        ("table", 1, "must be a table"),
        ("tables", {}, r"two brackets"),
        ("tables", [], "one at least"),
        ("tables", [1], "must be a table"),
        ("texts", "a", "list of texts"),
        ("texts", ["a", 1], "list of texts"),
        ("texts", ["a", "a"], "twice"),
    ],
)
def test_kinds_of_values(method, value, said):
    with pytest.raises(InputError, match=rf"^t.key.*{said}"):
        getattr(Table({"key": value}, "t"), method)("key")


def test_lines_and_tabs_are_no_control_characters():
    assert Table({"aims": "one\n\ttwo"}, "study").text("aims") == "one\n\ttwo"


def test_values_are_shown_whatever_they_are():
    assert len(shown("a" * 1000)) == 80
    assert "too long to be shown" in shown(16**5000)


def test_errors_get_their_path_once_and_are_no_novels():
    with pytest.raises(InputError, match=r"^fit\[0\]: no$"), at("fit[0]"):
        raise InputError("no")
    with pytest.raises(InputError, match=r"^fit\[0\].name no$"), at("fit[0]"):
        raise InputError("fit[0].name no")
    with pytest.raises(InputError) as found, at("fit[0]"):
        raise InputError("a" * 10_000)
    assert len(str(found.value)) < SAID + 20
