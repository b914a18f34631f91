"""Intervals hold the truth as often as they say, in a small study; and what the committed tables say of large ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from simulations.slopes import second_order
from simulations.slopes.coverage import Case, cases, coverage

HERE = Path(second_order.__file__).parent


@pytest.mark.parametrize("functional", ["mean", "median", "geometric"])
@pytest.mark.parametrize("nested", [False, True])
def test_coverage_in_a_small_study(functional, nested):
    """200 studies: three standard errors around 0.93 and 0.98."""
    found = coverage(Case(functional, "lognormal 1.2", 8, 40, nested), 200)
    assert 0.93 - 0.054 <= found["coverage"] <= 1.0


def test_the_table_of_coverage_has_every_case_and_keeps_the_promise():
    """0.93 to 0.98, and two Monte Carlo standard errors of a share of 1,000."""
    table = pd.read_csv(HERE / "coverage.csv")
    assert [Case(**row[list(vars(cases()[0]))].to_dict()) for _, row in table.iterrows()] == cases()
    assert (table.studies >= 1000).all()
    assert table.coverage.between(0.93 - 0.016, 0.98 + 0.009).all()
    exact = table[table.law != "extra scatter"]
    assert exact.resampled.max() <= 0.05 + 0.014
    assert table.resampled[table.law == "extra scatter"].min() >= 0.7


def test_every_case_has_its_own_numbers():
    assert len({case.seed for case in cases()}) == len(cases())


def test_the_table_of_verdicts():
    """Wording is wrong in at most 5 % of the studies of a loss, and four Monte Carlo standard errors of 200 studies.

    Four, as the largest of some five hundred shares is looked at.
    """
    table = pd.read_csv(HERE / "second_order.csv")
    assert len(table) == len(second_order.members()) * 2 * 3
    assert table.wrong.max() <= 0.05 + 4 * 0.0154


def test_verdicts_of_one_member():
    """A loss whose slope on the window is far from its exponent: never consistent with it."""
    member = next(one for one in second_order.members() if (one.a, one.h) == (5.0, 1 / 4) and not one.log_power)
    found = second_order.rows(member, 400, 20, seed=1)
    own = next(row for row in found if row["prediction"] == "own" and not row["bound"])
    assert own["consistent"] == 0
    assert sum(own[one.value] for one in second_order.SHOWN) == pytest.approx(1)
