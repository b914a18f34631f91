"""Intervals of effective slopes, and verdicts on them, in studies whose truth is known."""

from __future__ import annotations

import pytest

from simulations.slopes import second_order
from simulations.slopes.coverage import Case, cases, coverage

pytestmark = pytest.mark.slow

WEIGHTED = [case for case in cases() if case.interval == "weighted"]


def name(case):
    return f"{case.functional}-{case.law}-{case.sizes}-{case.replications}{'-nested' if case.nested else ''}"


@pytest.mark.parametrize("case", WEIGHTED, ids=name)
def test_the_default_interval_holds_the_exponent(case):
    """0.93 to 0.98 at a nominal 0.95, and three Monte Carlo standard errors of 400 studies."""
    found = coverage(case, 400)["coverage"]
    assert 0.93 - 0.038 <= found <= 0.98 + 0.021


@pytest.mark.parametrize("replications", [100, 400])
def test_verdicts_are_worded_as_the_window_is(replications):
    """5 % of wrong wording for each loss, and four standard errors of 100 studies; 2 % over the family."""
    found = [
        row for k, one in enumerate(second_order.members()) for row in second_order.rows(one, replications, 100, k)
    ]
    assert max(row["wrong"] for row in found) <= 0.05 + 4 * 0.022
    assert sum(row["wrong"] for row in found) / len(found) <= 0.02


def test_an_interval_without_the_birge_ratio_would_not_do():
    """What the default is for: scatter beyond Monte Carlo noise."""
    found = coverage(Case("mean", "extra scatter", 12, 40), 400)
    assert found["plain"] < 0.75
    assert found["coverage"] > 0.9
