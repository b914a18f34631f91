"""Parameter records and their layout in one flat, unconstrained vector."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moestat.errors import InputError
from moestat.params import (
    POSITIVE,
    Layout,
    Slot,
    axes,
    layout_of,
    leaf_names,
    own_columns,
    parameters,
    part,
    shared_columns,
)
from tests.unit.draws import few, normal

EPS = np.finfo(np.float64).eps
K, D = 3, 2


@parameters
class Plain:
    slopes: np.ndarray = axes("expert", "feature")
    spreads: np.ndarray = axes("expert", support=POSITIVE, label="spread")
    level: np.ndarray = axes(label="level")


@parameters
class Composed:
    temperature: np.ndarray = axes(support=POSITIVE, label="temperature")
    inner: Plain = part()
    common: np.ndarray = axes("feature")


SIZES = {"expert": K, "feature": D}
PLAIN = layout_of(Plain, SIZES)
COMPOSED = layout_of(Composed, SIZES, inner=PLAIN)
PAIR = Layout(lambda **members: tuple(members.values()), (("0", PLAIN), ("1", PLAIN)))

#: one number per entry, so that a wrong place shows
FIELDS = {"slopes": np.arange(6.0).reshape(K, D), "spreads": [10.0, 11.0, 12.0], "level": 20.0}
ORDER_OF_COMPOSED = ["temperature", "inner.slopes", "inner.spreads", "inner.level", "common"]


def plain(**changes):
    return Plain(**{**FIELDS, **changes})


def composed(**changes):
    return Composed(temperature=2.0, inner=plain(**changes), common=[30.0, 31.0])


thetas = arrays(np.float64, COMPOSED.size, elements=st.floats(-50, 50))


# ---------------------------------------------------------------------------------------- records
@pytest.mark.parametrize("field", ["slopes", "spreads", "level"])
def test_fields_cannot_be_reassigned(field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(plain(), field, np.zeros(1))


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        plain().slopes[0, 0] = 1.0


def test_arrays_are_copies_of_what_was_given():
    """Neither does the record follow the caller's array, nor is the caller's array locked."""
    given_slopes = np.zeros((K, D))
    record = plain(slopes=given_slopes)
    given_slopes[0, 0] = 1.0
    assert record.slopes[0, 0] == 0.0


@pytest.mark.parametrize("value", [[[1, 2], [3, 4], [5, 6]], np.asfortranarray(np.ones((K, D), np.float32))])
def test_arrays_become_contiguous_float64(value):
    slopes = plain(slopes=value).slopes
    assert slopes.dtype == np.float64
    assert slopes.flags.c_contiguous


def test_fields_are_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        Plain(np.zeros((K, D)), np.ones(K), 0.0)


def test_records_with_equal_arrays_are_equal():
    assert composed() == composed()


@pytest.mark.parametrize("changes", [{"level": 21.0}, {"spreads": [10.0, 11.0]}], ids=["value", "shape"])
def test_records_that_differ_in_an_inner_array_are_unequal(changes):
    assert composed() != composed(**changes)


def test_records_of_different_classes_are_unequal():
    assert plain() != composed()


def test_records_have_no_hash():
    """Equality of arrays is no basis for a dictionary key."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(plain())


def test_replace_changes_one_field_and_keeps_the_rest():
    record = dataclasses.replace(plain(), level=5.0)
    assert record == plain(level=5.0)


# ---------------------------------------------------------------------------------------- layouts
@few
@given(theta=thetas)
def test_packing_undoes_unpacking(theta):
    """The logarithm of exp(t) is t, up to one rounding of exp (EPS, absolute in the log) and one of t."""
    np.testing.assert_allclose(COMPOSED.pack(COMPOSED.unpack(theta)), theta, rtol=EPS, atol=2 * EPS)


def test_unpacking_undoes_packing():
    """Up to the rounding of a logarithm, which its exponential multiplies by |log t| < 3."""
    got = COMPOSED.unpack(COMPOSED.pack(composed()))
    assert isinstance(got, Composed)
    assert isinstance(got.inner, Plain)
    for name, want in FIELDS.items():
        np.testing.assert_allclose(getattr(got.inner, name), want, rtol=8 * EPS)
    np.testing.assert_allclose(got.temperature, 2.0, rtol=8 * EPS)


def test_mappings_pack_like_records():
    nested = {"temperature": 2.0, "inner": FIELDS, "common": [30.0, 31.0]}
    np.testing.assert_array_equal(COMPOSED.pack(nested), COMPOSED.pack(composed()))


@pytest.mark.parametrize("wrap", [tuple, lambda members: SimpleNamespace(members=members)], ids=["tuple", "members"])
def test_numbered_parts_pack_in_their_order(wrap):
    first, second = plain(), plain(level=7.0)
    want = np.concatenate([PLAIN.pack(first), PLAIN.pack(second)])
    np.testing.assert_array_equal(PAIR.pack(wrap((first, second))), want)


def test_fields_follow_each_other_in_the_order_of_declaration():
    theta = COMPOSED.pack(composed())
    logs = np.log([10.0, 11.0, 12.0])
    np.testing.assert_array_equal(theta, [np.log(2.0), 0, 1, 2, 3, 4, 5, *logs, 20, 30, 31])


def test_leaves_walk_the_flat_vector_without_gaps():
    leaves = list(COMPOSED.leaves())
    assert [path for path, _, _ in leaves] == ORDER_OF_COMPOSED
    ends = [offset + slot.size for _, slot, offset in leaves]
    assert [offset for _, _, offset in leaves] == [0, *ends[:-1]]
    assert ends[-1] == COMPOSED.size


@pytest.mark.parametrize("path", ORDER_OF_COMPOSED)
def test_index_points_at_the_field(path):
    """Every field, also inside a part, finds its own entries in its own shape."""
    record = composed()
    field = record
    for name in path.split("."):
        field = getattr(field, name)
    natural = COMPOSED.natural(COMPOSED.pack(record))
    # exp(log t) is t up to the rounding of the logarithm, |log t| < 3
    np.testing.assert_allclose(natural[COMPOSED.index(path)], field, rtol=8 * EPS, strict=True)


def test_start_of_a_part_is_the_offset_of_its_first_field():
    assert COMPOSED.start_of("inner") == 1
    assert COMPOSED.start_of("common") == 1 + PLAIN.size
    assert COMPOSED.part("inner") is PLAIN


def test_positive_fields_enter_as_logarithms():
    np.testing.assert_array_equal(PLAIN.pack(plain())[PLAIN.index("spreads")], np.log(FIELDS["spreads"]))


@few
@given(theta=thetas)
def test_natural_is_the_exponential_of_positive_fields_and_nothing_elsewhere(theta):
    positive = np.concatenate([COMPOSED.index(path).ravel() for path in ("inner.spreads", "temperature")])
    want = theta.copy()
    want[positive] = np.exp(theta[positive])
    np.testing.assert_array_equal(COMPOSED.natural(theta), want)


@few
@given(theta=arrays(np.float64, COMPOSED.size, elements=st.floats(-5, 5)))
def test_jacobian_is_the_derivative_of_natural(theta):
    """Central differences with step h: error h^2 / 6 times the third derivative, at most exp(5)."""
    h = 1e-5
    steps = h * np.eye(theta.size)
    differences = [(COMPOSED.natural(theta + e) - COMPOSED.natural(theta - e)) / (2 * h) for e in steps]
    np.testing.assert_allclose(COMPOSED.jacobian(theta), np.transpose(differences), rtol=1e-7, atol=1e-8)


@few
@given(theta=thetas)
def test_passing_through_the_layout_leaves_the_argument_alone(theta):
    before = theta.copy()
    for method in (COMPOSED.unpack, COMPOSED.natural, COMPOSED.jacobian):
        method(theta)
    COMPOSED.permute(theta, [2, 0, 1])
    np.testing.assert_array_equal(theta, before)


# --------------------------------------------------------------------------------------- relabelling
@few
@given(theta=thetas, order=st.permutations(range(K)))
def test_permuting_reorders_every_expert_axis_and_nothing_else(theta, order):
    """Entry j of an expert axis becomes the old entry order[j]; shared fields stay."""
    got = COMPOSED.permute(theta, order)
    for path in ("inner.slopes", "inner.spreads"):
        index = COMPOSED.index(path)
        np.testing.assert_array_equal(got[index], theta[index[order]])
    for path in ("inner.level", "temperature", "common"):
        index = COMPOSED.index(path)
        np.testing.assert_array_equal(got[index], theta[index])


@few
@given(theta=thetas, order=st.permutations(range(K)))
def test_permuting_back_restores_the_vector(theta, order):
    there = COMPOSED.permute(theta, order)
    np.testing.assert_array_equal(COMPOSED.permute(there, np.argsort(order)), theta)


@pytest.mark.parametrize("order", [[1, 0], [0, 1, 2, 3]])
def test_an_order_of_another_length_is_refused(order):
    with pytest.raises(InputError, match=rf"order must name the 3 experts of this layout; got {re.escape(str(order))}"):
        COMPOSED.permute(np.zeros(COMPOSED.size), order)


# --------------------------------------------------------------------------------------- columns
def test_own_columns_stand_side_by_side():
    columns = own_columns(np.array([6, 7, 8]), np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(columns, [[6, 0, 1], [7, 2, 3], [8, 4, 5]])


def test_shared_columns_repeat_one_position():
    """Sharing a parameter is the same position in every row."""
    np.testing.assert_array_equal(shared_columns(3, np.array(4)), [[4], [4], [4]])


# ------------------------------------------------------------------------------------------ names
@pytest.mark.parametrize(
    ("path", "axis_names", "label", "names"),
    [
        (
            "gate.slopes",
            ("expert", "feature"),
            None,
            ["gate[1].age", "gate[1].sex", "gate[2].age", "gate[2].sex"],
        ),
        ("gate.intercepts", ("expert",), "const", ["gate[1].const", "gate[2].const"]),
        ("expert.variance", (), "variance", ["expert.variance"]),
        ("expert.odds", ("expert", "class"), "const", ["expert[1].b.const", "expert[2].b.const"]),
        ("gate.inner.intercepts", ("expert",), "const", ["gate.inner[1].const", "gate.inner[2].const"]),
        ("expert.1.slopes", ("one expert", "feature"), None, ["expert[2].age", "expert[2].sex"]),
        ("expert.1.variance", (), "variance", ["expert[2].variance"]),
    ],
)
def test_names_tell_the_part_the_expert_and_the_entry(path, axis_names, label, names):
    """Experts are numbered from one, in the order of the flat vector; what all share has no number."""
    sizes = {"expert": 2, "one expert": 1, "feature": 2, "class": 1}
    shape = tuple(sizes[axis] for axis in axis_names)
    slot = Slot(tuple(axis.removeprefix("one ") for axis in axis_names), shape, POSITIVE, label)
    assert leaf_names(path, slot, {"feature": ["age", "sex"], "class": ["b"]}) == names


# --------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"slopes": np.zeros((D, K))},
            r"inner\.slopes must have shape \(3, 2\) \(expert=3, feature=2\); got \(2, 3\)",
            id="shape",
        ),
        pytest.param(
            {"spreads": np.ones(2)},
            r"inner\.spreads must have shape \(3,\) \(expert=3\); got \(2,\)",
            id="length",
        ),
        pytest.param({"level": np.ones(1)}, r"inner\.level must have shape \(\) \(a scalar\); got \(1,\)", id="scalar"),
        pytest.param(
            {"spreads": [1.0, 0.0, 1.0]},
            r"inner\.spreads must be finite and larger than zero; got .*\b0\.0\b",
            id="zero",
        ),
        pytest.param(
            {"spreads": [1.0, 2.0, -3.5]},
            r"inner\.spreads must be finite and larger than zero; got .*-3\.5",
            id="negative",
        ),
        pytest.param(
            {"spreads": [1.0, np.inf, -1.0]},
            r"inner\.spreads must be finite and larger than zero; got .*inf",
            id="infinite",
        ),
        pytest.param({"level": np.nan}, r"inner\.level must be finite; got .*nan", id="nan"),
    ],
)
def test_a_bad_value_is_named_with_its_field_and_rule(changes, message):
    with pytest.raises(InputError, match=message):
        COMPOSED.pack(composed(**changes))


def test_a_missing_field_is_named():
    record = SimpleNamespace(**{**FIELDS, "inner": None})
    del record.spreads
    with pytest.raises(InputError, match=r"SimpleNamespace has no field 'spreads', which this model needs"):
        PLAIN.pack(record)


def test_a_field_missing_from_a_mapping_is_named():
    with pytest.raises(InputError, match=r"parameter field 'spreads' is missing; got \['level', 'slopes'\]"):
        PLAIN.pack({"slopes": FIELDS["slopes"], "level": 1.0})


@pytest.mark.parametrize("members", [(), (plain(),), plain()], ids=["none", "too few", "no tuple"])
def test_a_tuple_of_too_few_records_is_refused(members):
    with pytest.raises(InputError, match=r"a tuple with a member .* is needed, one record per expert"):
        PAIR.pack(members)


def test_an_unknown_path_is_answered_with_the_known_ones():
    known = ", ".join(ORDER_OF_COMPOSED)
    with pytest.raises(InputError, match=rf"unknown parameter field 'slopes'; the fields of this model are: {known}"):
        COMPOSED.index("slopes")


# --------------------------------------------------------------------------------------- edges
def test_a_model_without_covariates_has_slopes_of_no_width():
    layout = layout_of(Plain, {"expert": K, "feature": 0})
    record = plain(slopes=np.empty((K, 0)))
    assert layout.size == K + 1
    assert layout.unpack(layout.pack(record)).slopes.shape == (K, 0)


def test_an_empty_layout_packs_to_an_empty_vector():
    assert Layout(SimpleNamespace, ()).pack(SimpleNamespace()).shape == (0,)


def test_unpacked_arrays_do_not_share_memory_with_the_vector():
    theta = normal(PLAIN.size)
    record = PLAIN.unpack(theta)
    assert not np.shares_memory(record.slopes, theta)
