"""Faulty input is refused by name: the argument, the bad value and its place, the rule, the way out."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import moestat as ms
from moestat.data import Data
from moestat.errors import InputError, MoestatError
from moestat.experts import Gaussian, Mixed, Multinomial
from moestat.gates.independence import independence
from tests.unit.draws import normal

N = 6
LABELS = list("abacab")
OTHERS = re.escape("(1 such entries in all). Drop or impute those rows first.")
DROP = "drop those rows"
ENCODE = "Encode categories as numbers, one indicator column per level"


def good(**changes):
    return {"X": normal(N, 2, seed=1), "y": normal(N, seed=2), **changes}


def labelled(**changes):
    return good(**{"y": LABELS, "categorical": True, **changes})


def spoilt(shape, where, value):
    array = np.ones(shape)
    array[where] = value
    return array


def masked(array):
    """The array with its third entry masked."""
    return np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) == 2)


def objects(*entries):
    array = np.empty(len(entries), dtype=object)
    array[:] = entries
    return array


def table(*faults):
    """Test cases out of (what is wrong, the faulty input, the message)."""
    return pytest.mark.parametrize(
        ("fault", "message"), [pytest.param(fault, message, id=what) for what, fault, message in faults]
    )


def assert_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        Data(**inputs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "shape", "where", "place"),
    [
        ("X", (N, 2), (3, 1), "row 3, column 1"),
        ("y", (N,), (0,), "row 0, column 0"),
        ("y", (N, 2), (5, 1), "row 5, column 1"),
        ("Z", (N, 3), (2, 0), "row 2, column 0"),
        ("sample_weight", (N,), (4,), "row 4"),
        ("offset", (N,), (1,), "row 1"),
        ("exposure", (N,), (1,), "row 1"),
    ],
)
def test_missing_and_infinite_entries(name, shape, where, place, value):
    message = rf"{name} must be finite; got {value} in {place} {OTHERS}"
    assert_refused(good(**{name: spoilt(shape, where, value)}), message)


def test_missing_entries_are_counted():
    X = np.full((N, 2), np.nan)
    assert_refused(good(X=X), r"X must be finite; got nan in row 0, column 0 \(12 such entries in all\)")


def test_missing_entries_of_nullable_columns():
    X = pd.DataFrame({"a": pd.array([1, 2, None, 4, 5, 6], dtype="Int64")})
    assert_refused(good(X=X), rf"X must be finite; got nan in row 2, column 0 {OTHERS}")


@pytest.mark.parametrize("name", ["y", "Z", "sample_weight", "offset", "exposure"])
def test_lengths_that_disagree(name):
    message = rf"{name} must have as many rows as the other inputs, {N}; got {N - 1}"
    assert_refused(good(**{name: np.ones(N - 1)}), message)


def test_labels_that_are_too_few():
    assert_refused(labelled(y=LABELS[1:]), rf"y must have as many rows as the other inputs, {N}; got {N - 1}")


@pytest.mark.parametrize("name", ["X", "y", "Z"])
def test_arrays_of_three_axes(name):
    message = rf"{name} must be a matrix \(rows, columns\); got an array of shape \({N}, 2, 1\)"
    assert_refused(good(**{name: np.ones((N, 2, 1))}), message)


@pytest.mark.parametrize("name", ["sample_weight", "offset", "exposure"])
def test_matrices_where_a_vector_is_due(name):
    message = rf"{name} must be a vector with one entry per row; got an array of shape \({N}, 2\)"
    assert_refused(good(**{name: np.ones((N, 2))}), message)


@pytest.mark.parametrize("name", ["X", "y"])
def test_single_numbers_where_rows_are_due(name):
    assert_refused(good(**{name: 3.0}), rf"{name} must be a matrix \(rows, columns\); got an array of shape \(\)")


@pytest.mark.parametrize("categorical", [False, True])
def test_no_rows(categorical):
    assert_refused(good(X=None, y=[], categorical=categorical), "y must have at least one row; got none")


def test_no_rows_of_covariates():
    assert_refused(good(X=np.empty((0, 2))), "X must have at least one row; got none")


@pytest.mark.parametrize("name", ["X", "y", "Z", "sample_weight", "offset"])
def test_sparse_matrices(name):
    matrix = scipy.sparse.csr_matrix(np.ones((N, 1)))
    assert_refused(good(**{name: matrix}), rf"{name} must be dense; got a sparse csr_matrix\. Pass {name}\.toarray\(\)")


@pytest.mark.parametrize("name", ["X", "y", "Z", "sample_weight", "offset"])
def test_complex_numbers(name):
    message = rf"{name} must be real; got complex numbers\. Pass the real part"
    assert_refused(good(**{name: np.ones(N, dtype=complex)}), message)


@pytest.mark.parametrize("name", ["X", "y", "Z", "sample_weight", "offset"])
def test_ragged_lists(name):
    ragged = [[1.0]] * (N - 1) + [[1.0, 2.0]]
    message = rf"{name} must be a rectangular array of numbers; got rows of unequal length"
    assert_refused(good(**{name: ragged}), message)


@table(
    ("strings", {"X": np.array(["u"] * N)}, rf"X must be numeric; got dtype <U1\. {ENCODE}"),
    (
        "objects",
        {"Z": np.array([1, 2, "u", 4, 5, 6], object)},
        rf"Z must be numeric; got 'u' at position \(2,\)\. {ENCODE}",
    ),
    (
        "dates",
        {"X": np.array(["2020"] * N, "M8[Y]")},
        rf"X must be numeric; got dtype datetime64\[Y\]\. {ENCODE}",
    ),
    ("records", {"X": [{}] * N}, rf"X must be numeric; got \{{\}} at position \(0,\)\. {ENCODE}"),
    (
        "frame",
        {"X": pd.DataFrame({"a": range(N), "b": LABELS})},
        rf"X must be numeric; got 'a' at position \(0, 1\)\. {ENCODE}",
    ),
)
def test_entries_that_are_no_numbers(fault, message):
    assert_refused(good(**fault), message)


@table(
    (
        "negative",
        {"sample_weight": spoilt(N, 2, -0.5)},
        r"sample_weight must not be negative; got -0\.5 in row 2\. Weights are frequencies.*"
        "use 0 to leave a row out",
    ),
    (
        "all zero",
        {"sample_weight": np.zeros(N)},
        "sample_weight must have a positive entry; all weights are zero, so no row is left",
    ),
    ("no exposure", {"exposure": spoilt(N, 4, 0.0)}, r"exposure must be larger than zero; got 0\.0 in row 4"),
    (
        "negative exposure",
        {"exposure": spoilt(N, 4, -2)},
        r"exposure must be larger than zero; got -2\.0 in row 4",
    ),
    ("no rows per block", {"block_rows": 0}, "block_rows must be an integer, at least 1; got 0"),
    ("negative rows per block", {"block_rows": -8}, "block_rows must be an integer, at least 1; got -8"),
    ("rows per block in parts", {"block_rows": 2.5}, r"block_rows must be an integer, at least 1; got 2\.5"),
    ("no response", {"y": np.empty((N, 0))}, "y must have at least one column; got none"),
    ("masked", {"X": masked(np.ones((N, 1)))}, f"X holds 1 masked entries; fill them or {DROP}"),
    ("masked offset", {"offset": masked(np.ones(N))}, f"offset holds 1 masked entries; fill them or {DROP}"),
)
def test_values_outside_their_range(fault, message):
    assert_refused(good(**fault), message)


@pytest.mark.parametrize("name", ["X", "y", "Z"])
def test_repeated_column_names(name):
    frame = pd.DataFrame(np.ones((N, 2)), columns=["age", "age"])
    message = r"column names must be distinct; got \['age', 'age'\]\. Rename the repeated columns"
    assert_refused(good(**{name: frame}), message)


@table(
    (
        "one class",
        ["a"] * N,
        "y must hold at least two classes for a categorical expert; got only one class: 'a'",
    ),
    ("matrix", np.ones((N, 2)), rf"y must be a vector of class labels; got an array of shape \({N}, 2\)"),
    ("complex", np.ones(N, complex), "y must hold class labels; got complex numbers"),
    ("nan", spoilt(N, 3, np.nan), rf"y must be finite; got nan in row 3 {OTHERS}"),
    ("none", ["a", None, "b", None, "a", "b"], rf"y holds 2 missing labels, the first in row 1; {DROP}"),
    (
        "missing objects",
        np.array(["a", np.nan, "b", "a", "b", "a"], object),
        rf"y holds 1 missing labels, the first in row 1; {DROP}",
    ),
    (
        "missing categories",
        pd.Series(pd.Categorical(["a", "b", None] * 2)),
        rf"y holds 2 missing labels, the first in row 2; {DROP}",
    ),
    (
        "missing codes",
        pd.Series(pd.Categorical([1, 2, None] * 2)),
        r"y must be finite; got nan in row 2 \(2 such entries in all\)",
    ),
    (
        "mixed objects",
        np.array(["a", 1, 2, "b", "a", 1], object),
        r"y must hold labels of one type; got a mixture of \['int', 'str'\]",
    ),
    # NumPy would make strings of these two lists, and classes of their odd entries
    ("missing in a list", ["a", np.nan, "b"] * 2, rf"y holds 2 missing labels, the first in row 1; {DROP}"),
    (
        "mixed in a list",
        ["a", 1, "b"] * 2,
        r"y must hold labels of one type; got a mixture of \['int', 'str'\]",
    ),
    (
        "missing strings",
        pd.array(["a", pd.NA, "b"] * 2, dtype="string"),
        rf"y holds 2 missing labels, the first in row 1; {DROP}",
    ),
    (
        "missing dates",
        np.array(["2020", "NaT", "2021"] * 2, "M8[Y]"),
        rf"y holds 2 missing labels, the first in row 1; {DROP}",
    ),
    (
        "no order",
        objects((1,), 2, 3, (1,), 2, 3),
        r"y must hold labels that can be sorted; got types \['int', 'tuple'\]",
    ),
    ("ragged", [["a"]] * 5 + [["a", "b"]], "y must be a vector of class labels; got rows of unequal length"),
)
def test_labels_that_are_no_classes(fault, message):
    assert_refused(labelled(y=fault), message)


def test_one_class_once_rows_of_weight_zero_are_dropped():
    inputs = labelled(y=["a"] * 5 + ["b"], sample_weight=[1] * 5 + [0])
    assert_refused(inputs, "y must hold at least two classes .* got only one class: 'a'")


@pytest.mark.parametrize("categorical", [False, True])
def test_ragged_responses_without_covariates(categorical):
    assert_refused(good(X=None, y=[["a"]] * 5 + [["a", "b"]], categorical=categorical), "rows of unequal length")


def test_masked_labels():
    assert_refused(labelled(y=masked(np.array(LABELS))), f"y holds 1 masked entries; fill them or {DROP}")


# ------------------------------------------------------------------------------------ as an exception
def test_an_input_error_is_a_value_error_of_ours():
    """Callers may catch either."""
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, MoestatError)


def test_an_input_error_hides_no_cause():
    """Where another exception gave the fault away, it is chained."""
    with pytest.raises(InputError) as caught:
        Data(**good(X=np.array(["u"] * N, object)))
    assert isinstance(caught.value.__cause__, ValueError)


# ----------------------------------------------------------------------------------- experts and data
@pytest.mark.parametrize(
    ("expert", "inputs", "message"),
    [
        pytest.param(
            Gaussian(),
            labelled(),
            r"the gaussian expert needs a response of numbers \(categorical=False\); got Data",
            id="labels",
        ),
        pytest.param(
            Multinomial(),
            good(),
            r"the multinomial expert needs a response of class labels \(categorical=True\); got Data",
            id="numbers",
        ),
        pytest.param(
            Gaussian(),
            good(y=np.ones((N, 2))),
            r"the gaussian expert models one response; got 2 columns in y\. Fit one column at a time",
            id="responses",
        ),
        pytest.param(
            Gaussian(),
            good(exposure=np.ones(N)),
            r"the gaussian expert takes no exposure; it has no log link\. Use offset or a covariate",
            id="exposure",
        ),
        pytest.param(
            Multinomial(),
            labelled(offset=np.ones(N)),
            r"the multinomial expert takes no offset\. Enter the term as a covariate",
            id="offset",
        ),
        pytest.param(
            Mixed((Gaussian(), Gaussian("common"))),
            good(exposure=np.ones(N)),
            "the gaussian expert takes no exposure",
            id="a member's",
        ),
    ],
)
def test_data_that_an_expert_cannot_describe(expert, inputs, message):
    with pytest.raises(InputError, match=message):
        expert.check(Data(**inputs))


def test_settings_outside_their_choices():
    with pytest.raises(InputError, match="variance must be 'own' or 'common'; got 'none'"):
        Gaussian(variance="none")


def test_families_of_different_kinds_of_response():
    with pytest.raises(InputError, match=r"must describe the same kind of response; got \['gaussian', 'multinomial'\]"):
        Mixed((Gaussian(), Multinomial()))


def test_as_many_families_as_experts():
    with pytest.raises(InputError, match="expert must be one family or a tuple of n_experts=3 families; got 2"):
        Mixed((Gaussian(), Gaussian())).layout(SimpleNamespace(n_experts=3))


@pytest.mark.parametrize("expert", ["gaussian(degree=3)", "gaussian(form='tanh', degree=5)"])
def test_a_degree_of_what_is_no_polynomial_is_refused(expert):
    with pytest.raises(InputError, match="degree belongs to form='polynomial'; got degree="):
        ms.MixtureOfExperts(expert=expert)


@pytest.mark.parametrize("sizes", [{"n_features": 0}, {"n_experts": 0}, {"n_experts": 1.5}, {"n_features": True}])
def test_an_independence_of_nothing_is_refused(sizes):
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        independence("relu", **sizes)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"gate": ms.gates.Laplace}, r"write Laplace\(\)"),
        ({"expert": ms.experts.Poisson}, r"write Poisson"),
    ],
)
def test_a_class_in_place_of_an_instance_is_told_how_to_be_one(part, words):
    with pytest.raises(InputError, match=words):
        ms.MixtureOfExperts(**part)
