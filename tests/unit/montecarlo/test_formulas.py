"""Numbers that depend on the sample size."""

from __future__ import annotations

import math

import pytest

from moestat.errors import InputError
from moestat.montecarlo.formulas import Formula, as_formula


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.005 * n**-0.083", 0.005 * 500**-0.083),
        ("-(1 + 2) / 4 - +n", -0.75 - 500),
        ("log(n)", math.log(500)),
        ("sqrt(n) * exp(-1)", math.sqrt(500) * math.exp(-1)),
        ("n", 500.0),
        ("2", 2.0),
        ("1e-6", 1e-6),
        ("2**3**2", 512.0),
    ],
)
def test_values(text, value):
    assert Formula(text).at(500) == pytest.approx(value, rel=1e-15)


def test_numbers_are_formulas():
    assert as_formula(3).at(10) == 3.0
    assert as_formula(3) == as_formula(3.0)
    assert as_formula(1e2) == as_formula(100)


STRANGE = (
    *("__import__('os')", "n.real", "n[0]", "lambda: n", "n if n else 1", "m", "'n'", "True", "1j", "[n]", "n == 1"),
    *(
        "log(n, 2)",
        "log()",
        "log(x=n)",
        "open(n)",
        "n; n",
        "n = 1",
        "",
        "(",
        "~n",
        "not n",
        "n and n",
        "f'{n}'",
        "n @ n",
    ),
    *("max(n)", "log(*n)", "b'n'", "...", "n % 2", "n << 2", "(n := 2)", "await n", "yield n", "None", "n\x00"),
    *("\ud800", "n // 2", "n" + " + n" * 60, "-" * 150 + "n"),
)


@pytest.mark.parametrize("text", STRANGE)
def test_what_is_no_formula(text):
    with pytest.raises(InputError, match=r"must be a number, or a formula|at most 200 characters"):
        Formula(text)


@pytest.mark.parametrize("text", ["1 / (n - n)", "log(-n)", "sqrt(-n)", "(-2)**0.5", "exp(n)", "9**9**9**9", "1e999"])
def test_what_has_no_value(text):
    with pytest.raises(InputError, match=r"^the formula .* has no (finite )?value at n=1000"):
        Formula(text)


def test_a_value_may_be_missing_at_some_sizes_only():
    formula = Formula("1 / (n - 100)")
    with pytest.raises(InputError, match="has no value at n=100"):
        formula.at(100)


@pytest.mark.parametrize("value", [True, None, [1], {}, 10**400])
def test_other_kinds_are_refused(value):
    with pytest.raises(InputError, match="must be a number, or a formula"):
        as_formula(value)
