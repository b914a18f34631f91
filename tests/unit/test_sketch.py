"""The sketch: distinct rows, their weights, and an order that is theirs alone."""

from __future__ import annotations

import numpy as np
import pytest

from moestat.data import Data
from moestat.sketch import sketch
from tests.unit.draws import normal


def rows_of(block):
    return np.vstack([block.X, block.Y, block.weight])


def source(order=None, times=None, weight=None, block_rows=None, n=300):
    X, y = np.round(normal(n, 2), 1), np.round(normal(n, seed=1), 1)
    if order is not None:
        X, y = X[order], y[order]
    if times is not None:
        X, y = np.repeat(X, times, axis=0), np.repeat(y, times)
    return Data(X, y, None, weight, block_rows=block_rows)


def test_rows_that_are_few_are_all_there_once():
    drawn = sketch(source(), 1000, 0)
    real = np.concatenate([np.vstack([b.X, b.Y])[:, b.weight > 0] for b in source().blocks()], axis=1)
    distinct, counts = np.unique(real, axis=1, return_counts=True)
    order = np.lexsort(rows_of(drawn)[:-1][::-1])
    np.testing.assert_array_equal(rows_of(drawn)[:-1][:, order], distinct[:, np.lexsort(distinct[::-1])])
    assert drawn.weight.sum() == 300 == counts.sum()
    assert drawn.offset.shape == drawn.weight.shape


@pytest.mark.parametrize("limit", [50, 1000])
def test_the_order_of_the_rows_and_the_tiles_do_not_matter(limit):
    one = rows_of(sketch(source(), limit, 3))
    order = np.random.default_rng(5).permutation(300)
    np.testing.assert_array_equal(one, rows_of(sketch(source(order), limit, 3)))
    np.testing.assert_array_equal(one, rows_of(sketch(source(block_rows=17), limit, 3)))


@pytest.mark.parametrize("limit", [50, 1000])
def test_a_weight_is_a_repetition(limit):
    times = np.random.default_rng(6).integers(1, 5, size=300)
    repeated, weighted = sketch(source(times=times), limit, 3), sketch(source(weight=times.astype(float)), limit, 3)
    np.testing.assert_array_equal(rows_of(repeated), rows_of(weighted))


def test_the_seed_decides_which_rows_are_kept():
    one, same, other = (rows_of(sketch(source(), 50, seed)) for seed in (1, 1, 2))
    assert one.shape[1] == 50
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_every_distinct_row_has_the_same_chance():
    """Whatever it holds: the mean of the kept values is that of all of them."""
    data = Data(np.arange(1000.0), np.zeros(1000) + np.arange(1000) % 2)
    means = [sketch(data, 100, seed).X[1].mean() for seed in range(200)]
    spread = sketch(data, 2000, 0).X[1].std() / 10
    assert np.mean(means) == pytest.approx(sketch(data, 2000, 0).X[1].mean(), abs=4 * spread / np.sqrt(200))
    assert np.std(means) == pytest.approx(spread * np.sqrt(0.9), rel=0.2)


def test_far_values_and_minus_zero():
    """Minus zero is zero, and what single precision cannot hold is still a value."""
    x = np.r_[0.0, -0.0, np.zeros(8), 1e60]
    drawn = sketch(Data(x, np.zeros(11) + np.r_[np.zeros(10), 1.0]), 100, 0)
    assert sorted(drawn.weight) == [1.0, 10.0]


def test_a_sketch_keeps_each_row_together():
    """Every column of the block is one row of the data, across all its fields; weights number the rows."""
    n = 50
    given = {"Z": normal(n, 2, seed=6), "offset": normal(n, seed=5), "sample_weight": np.arange(1.0, n + 1)}
    data = Data(np.arange(n), normal(n, seed=2), **given, block_rows=8)
    blocks = list(data.blocks())
    drawn = sketch(data, 10, 0)
    chosen = drawn.weight.astype(int) - 1
    for name in ("X", "Z", "Y", "offset"):
        whole = np.concatenate([getattr(block, name) for block in blocks], axis=-1)
        np.testing.assert_array_equal(getattr(drawn, name), whole[..., chosen])
        assert getattr(drawn, name).flags.c_contiguous


REPEATED = {"X": [1, 1, 2, 2, 2], "y": [1, 1, 1, 1, 5]}


def test_equal_rows_count_once():
    assert sketch(Data(**REPEATED), 100, 0).weight.size == 3


def test_rows_that_differ_in_the_gates_covariates_are_distinct():
    assert sketch(Data(**REPEATED, Z=[1, 2, 3, 4, 5]), 100, 0).weight.size == 5
