"""Selectors of columns, and what is said about those that select nothing sensible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector

from moestat.columns import columns_of
from moestat.errors import InputError

NAMES = ["age", "income", "z1", "z2"]
TABLE = pd.DataFrame(np.zeros((2, 4)), columns=NAMES)


def chosen(selector, names=NAMES):
    return columns_of("gate_features", selector, TABLE, names, 4)


@pytest.mark.parametrize(
    ("selector", "positions"),
    [
        (None, (0, 1, 2, 3)),
        ([], ()),
        ("income", (1,)),
        (["z2", "age"], (3, 0)),
        (pd.Index(["z1", "z2"]), (2, 3)),
        (2, (2,)),
        (np.int64(-1), (3,)),
        ([0, -1], (0, 3)),
        (np.array([1, 2]), (1, 2)),
        (["age", 3], (0, 3)),
        (slice(None), (0, 1, 2, 3)),
        (slice(1, 3), (1, 2)),
        (slice(None, None, 2), (0, 2)),
        (slice("income", "z1"), (1, 2)),
        (slice("income", None), (1, 2, 3)),
        ([True, False, True, False], (0, 2)),
        (np.array([False] * 4), ()),
        (pd.Series([False, True, False, False]), (1,)),
        (make_column_selector(pattern="^z"), (2, 3)),
        (make_column_selector(dtype_include=object), ()),
        (lambda X: [c for c in X.columns if c != "age"], (1, 2, 3)),
    ],
)
def test_selectors(selector, positions):
    assert chosen(selector) == positions


@pytest.mark.parametrize("selector", [None, [0, 3], slice(2, None), [True, False, True, True]])
def test_positions_need_no_names(selector):
    assert chosen(selector, names=None) == chosen(selector)


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("wage", "gate_features names 'wage', which is no column of X; they are"),
        (["age", "wage"], "names 'wage'"),
        (slice("age", "wage"), "names 'wage'"),
        (4, "asks for column 4, but X has 4, numbered from 0"),
        ([-5], "asks for column -5"),
        ([0, -4], "must not choose a column twice"),
        (["age", 0], "must not choose a column twice"),
        ([True, False], "must have one entry per column of X, 4; got a mask of 2"),
        (slice(0.5, 2), "must be a slice of names or of positions"),
        (1.5, "must hold names, positions from 0"),
        ([True, "age", 1], "must hold names, positions from 0"),
        ([None], "must hold names, positions from 0"),
        ({"a": 1}, "must hold names, positions from 0"),
        (lambda X: 7, "asks for column 7"),
    ],
)
def test_selectors_that_are_refused(selector, message):
    with pytest.raises(InputError, match=message):
        chosen(selector)


def test_names_without_names():
    with pytest.raises(InputError, match="the columns of X have no names"):
        chosen("age", names=None)
