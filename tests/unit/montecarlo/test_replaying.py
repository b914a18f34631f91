"""One replication again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moestat.errors import InputError
from moestat.montecarlo import Design, Record, replay, run, sample
from tests.unit.montecarlo.small import REAL, WITH_FAULTS

STUDY = replace(REAL, design=Design([60], 3), fits=REAL.fits[1:], record=Record(), text="")


def test_a_replication_again_is_the_same_row(tmp_path):
    run(STUDY, tmp_path / "a.db")
    found = replay(STUDY, "K2/mle/n=60", 2, tmp_path / "a.db")
    assert found.identical
    text = str(found)
    assert text.startswith("K2/mle/n=60, replication 2: ok STRICT_MAXIMUM")
    assert "The store has the same row, to the last bit." in text
    assert "expert.variances" in text
    X, y = sample(STUDY, 60, 2)
    assert (found.X == X).all()
    assert (found.y == y).all()


def test_without_a_store_or_its_row(tmp_path):
    assert replay(STUDY, "K2/published/n=60", 0).identical is None
    run(replace(STUDY, design=Design([60], 1), text=""), tmp_path / "a.db")
    found = replay(STUDY, "K2/mle/n=60", 2, tmp_path / "a.db")
    assert found.identical is None
    assert "The store has no such row." in str(found)


def test_another_row_is_shown_beside_it(tmp_path):
    run(STUDY, tmp_path / "a.db")
    found = replay(STUDY, "K2/mle/n=60", 1, tmp_path / "a.db")
    numbers = found.row.numbers.copy()
    numbers[0] += 1.0
    other = replace(found, stored=replace(found.row, numbers=numbers))
    assert other.identical is False
    assert f"stored: {numbers[0]:.12g}" in str(other)


def test_a_replication_that_failed_says_why():
    firsts = np.array([sample(WITH_FAULTS, 60, r)[0][0, 0] for r in range(20)])
    found = replay(WITH_FAULTS, "K2/fixed/n=60", int(firsts.argmin()))
    assert found.row.outcome == "error"
    assert found.parameters == ""
    assert "ZeroDivisionError" in str(found)


@pytest.mark.parametrize(
    ("label", "replication", "said"),
    [
        ("K2/mle/n=61", 0, "mean 'K2/mle/n=60'"),
        ("K2", 0, "cell must be FIT/PROTOCOL/n=N"),
        ("K2/mle/n=60", 3, "replication must be a whole number from 0 to 2"),
        ("K2/mle/n=60", -1, "replication must be"),
        ("K2/mle/n=60", True, "replication must be"),
        ("K2/mle/n=60", 0.5, "replication must be"),
        ("K2/mle/n=60", "0", "replication must be"),
    ],
)
def test_what_is_not_there(label, replication, said):
    with pytest.raises(InputError, match=said):
        replay(STUDY, label, replication)
