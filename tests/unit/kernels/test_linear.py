"""Linear predictors and products of row blocks against NumPy, at sizes that leave every loop a remainder."""

from __future__ import annotations

import numpy as np
import pytest

from moestat.kernels import linear
from tests.unit.draws import normal
from tests.unit.kernels import twins
from tests.unit.kernels.twins import assert_same_sums

FEATURES = (1, 3, 5, 8)
ROWS = (1, 8, 40, 300, 1024, 2100)  # kernels work in strips of columns: one, several, the last one short or full


def _inputs(*shapes):
    return [normal(*shape, seed=seed) for seed, shape in enumerate(shapes)]


#: kernels that add to their last argument: kernel, twin, shapes of the inputs for p features and B rows
ADDING = {
    "row_dots": (linear.row_dots, twins.row_dots, lambda p, B: [(B,), (p, B)]),
    "pull_linear": (linear.pull_linear, twins.pull_linear, lambda p, B: [(3, B), (p, B)]),
    "contract_own": (linear.contract, twins.contract, lambda p, B: [(3, B), (3, p, B)]),
    "contract_shared": (linear.contract, twins.contract, lambda p, B: [(3, B), (1, p, B)]),
    "contract_one_expert": (linear.contract, twins.contract, lambda p, B: [(1, B), (1, p, B)]),
    "add_products": (linear.add_products, twins.add_products, lambda p, B: [(8, B), (4 * p, B)]),
    "add_lower_products": (
        linear.add_lower_products,
        twins.add_lower_products,
        lambda p, B: [(4 * p, B), (4 * p, B)],
    ),
}


@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("p", FEATURES)
@pytest.mark.parametrize("name", ADDING)
def test_kernel_adds_what_its_twin_computes(name, p, B):
    """The kernel adds to what is there: a pass sums over tiles."""
    kernel, twin, shapes = ADDING[name]
    inputs = _inputs(*shapes(p, B))
    want = twin(*inputs)
    before = normal(*want.shape, seed=9)
    out = before.copy()
    kernel(*inputs, out)
    magnitude = np.abs(before) + twin(*map(np.abs, inputs))
    assert_same_sums(out, before + want, magnitude, terms=B + 2)


@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("p", FEATURES)
@pytest.mark.parametrize("K", [1, 3])
def test_linear_predictor_equals_the_matrix_product(K, p, B):
    """Every entry is written, whatever was there before."""
    coef, F = _inputs((K, p), (p, B))
    out = np.full((K, B), np.nan)
    linear.linear_predictor(coef, F, out)
    magnitude = twins.linear_predictor(np.abs(coef), np.abs(F))
    assert_same_sums(out, twins.linear_predictor(coef, F), magnitude, terms=p)


@pytest.mark.parametrize("p", FEATURES)
def test_linear_predictor_ignores_coefficients_beyond_the_features(p):
    """Local parameters end with a variance, which is no coefficient."""
    coef, F = _inputs((3, p + 1), (p, 8))
    coef[:, p] = np.nan
    wide, narrow = np.empty((2, 3, 8))
    linear.linear_predictor(coef, F, wide)
    linear.linear_predictor(np.ascontiguousarray(coef[:, :p]), F, narrow)
    np.testing.assert_array_equal(wide, narrow)


@pytest.mark.parametrize("p", FEATURES)
def test_lower_products_leave_the_tiles_above_the_diagonal_alone(p):
    A, C = _inputs((4 * p, 8), (4 * p, 8))
    above = ~twins.lower_tiles(4 * p)
    out = np.where(above, np.nan, 0.0)
    linear.add_lower_products(A, C, out)
    np.testing.assert_array_equal(np.isnan(out), above)


@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("row", FEATURES)
def test_row_products_may_start_at_any_row(row, B):
    """The output tells how many rows take part; the others may hold anything."""
    A, C = _inputs((8, B), (row + 4 + 3, B))
    C[:row], C[row + 4 :] = np.nan, np.nan
    used = C[row : row + 4]
    before = normal(8, 4, seed=9)
    out = before.copy()
    linear.add_row_products(A, C, row, out)
    magnitude = np.abs(before) + twins.add_products(np.abs(A), np.abs(used))
    assert_same_sums(out, before + twins.add_products(A, used), magnitude, terms=B + 2)


@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("p", FEATURES)
def test_feature_products_are_the_pairs_of_rows_in_order(p, B):
    """Over the columns of a strip; one multiplication each, so they are exact to the last bit."""
    first, last = B // 3, B - B // 4
    (F,) = _inputs((p, B))
    out = np.full((p * (p + 1) // 2, last - first), np.nan)
    linear.feature_products(F, first, last, out)
    np.testing.assert_array_equal(out, twins.feature_products(F[:, first:last]))


def test_feature_products_leave_the_padding_alone():
    """Rows beyond the pairs, and columns beyond the strip."""
    (F,) = _inputs((2, 8))
    out = np.full((4, 8), 7.0)
    linear.feature_products(F, 0, 5, out)
    np.testing.assert_array_equal(out == 7.0, (np.arange(4) >= 3)[:, None] | (np.arange(8) >= 5))


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("p", FEATURES)
def test_weighted_gram_fills_its_square_and_nothing_else(p, B, first):
    """The block that starts at ``first`` receives scale * F diag(w) F'; the rest of the matrix stays."""
    w, F = _inputs((B,), (p, B))
    scale = -0.5
    before = normal(p + 3, p + 3, seed=9)
    want, magnitude = before.copy(), np.abs(before)
    square = np.s_[first : first + p, first : first + p]
    want[square] += scale * twins.weighted_gram(w, F)
    magnitude[square] += abs(scale) * twins.weighted_gram(np.abs(w), np.abs(F))
    out = before.copy()
    linear.weighted_gram(w, F, scale, first, out)
    assert_same_sums(out, want, magnitude, terms=B + 3)


@pytest.mark.parametrize("p", FEATURES)
def test_weighted_gram_is_symmetric_to_the_last_bit(p):
    w, F = _inputs((40,), (p, 40))
    out = np.zeros((p, p))
    linear.weighted_gram(w, F, 1.0, 0, out)
    np.testing.assert_array_equal(out, out.T)


@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("rows", range(1, 10))
def test_leading_products_leave_the_other_rows_out(rows, B):
    """Products of the rows that count; what the tiles add beyond them is theirs to keep."""
    A, C = normal(12, B, seed=1), normal(8, B, seed=2)
    out = np.zeros((12, 8))
    linear.add_leading_products(A, rows, C, out)
    want = twins.add_products(A, C)[:rows]
    assert_same_sums(out[:rows], want, twins.add_products(np.abs(A), np.abs(C))[:rows], terms=B + 2)


@pytest.mark.parametrize("n", [1, 2, 7, 9, 11])
@pytest.mark.parametrize("p", [2, 8, 9, 21, linear.MANY, linear.MANY + 1])
def test_weighted_products_are_the_same_in_every_form(n, p):
    """In registers, formed once, or features scaled: which one depends on how many there are."""
    B = 1100
    W, F = _inputs((n, B), (p, B))
    out = np.zeros((-(-n // 4) * 4, -(-p * (p + 1) // 8) * 4))
    linear.add_weighted_products(W, F, out)
    products = twins.feature_products(F)
    want, magnitude = W @ products.T, np.abs(W) @ np.abs(products).T
    assert_same_sums(out[:n, : len(products)], want, magnitude, terms=B + 3)


def test_the_gram_matrix_of_many_features_equals_its_twin():
    w, F = _inputs((1100,), (13, 1100))
    out = np.zeros((13, 13))
    linear.weighted_gram(w, F, 1.0, 0, out)
    assert_same_sums(out, twins.weighted_gram(w, F), twins.weighted_gram(np.abs(w), np.abs(F)), terms=1103)
