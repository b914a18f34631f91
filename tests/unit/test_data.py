"""Rows in memory: tiles, working coordinates, and what `Data` accepts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moestat.coordinates import Affine, Coordinates
from moestat.data import BLOCK_ROWS, LOCATION_GRID, BlockSource, Data
from moestat.errors import InputError
from moestat.query import query_block
from tests.unit.draws import few, normal

EPS = np.finfo(np.float64).eps
N = 21
FIELDS = ("X", "Z", "Y", "offset", "weight")


class Rows(NamedTuple):
    """The working values of the real rows, in order, features first."""

    X: np.ndarray
    Z: np.ndarray
    Y: np.ndarray
    offset: np.ndarray
    weight: np.ndarray


def rows_of(data):
    whole = [np.concatenate([getattr(block, name) for block in data.blocks()], axis=-1) for name in FIELDS]
    return Rows(*(values[..., whole[-1] > 0] for values in whole))


def bits(data):
    """Every tile to the last bit."""
    return [getattr(block, name).tobytes() for block in data.blocks() for name in FIELDS]


def sample(n=N, d=2, **inputs):
    return Data(**{"X": normal(n, d, seed=1), "y": normal(n, seed=2), **inputs})


def dyadic(*shape):
    """Numbers with few digits, so that float32 or a product with a power of two holds them exactly."""
    return arrays(np.int64, shape, elements=st.integers(-(2**20), 2**20)).map(lambda values: values / 1024)


# ------------------------------------------------------------------------------------------ tiles
def assert_restores(coordinates, working, raw):
    """Two roundings, each relative to a raw value or to the location."""
    restored = coordinates.restore(working.T)
    np.testing.assert_array_less(np.abs(restored - raw), EPS * (np.abs(raw) + np.abs(coordinates.location)) + 1e-300)


@st.composite
def shapes(draw):
    n = draw(st.integers(1, 70))
    return n, draw(st.integers(0, 3)), draw(st.integers(0, 2)), draw(st.none() | st.integers(1, 80))


@few
@given(shape=shapes(), drawn=st.data())
def test_tiles_hold_the_rows_in_their_order(shape, drawn):
    """Restoring the working values of the real rows gives the rows back."""
    n, d, e, block_rows = shape
    X, Z, y = (drawn.draw(dyadic(n, columns)) for columns in (d, e, 1))
    weight = drawn.draw(arrays(np.float64, n, elements=st.integers(1, 9)))
    data = Data(X, y, Z, weight, block_rows=block_rows)
    rows, at = rows_of(data), data.coordinates
    for coordinates, working, raw in ((at.X, rows.X[1:], X), (at.Z, rows.Z[1:], Z), (at.y, rows.Y, y)):
        assert_restores(coordinates, working, raw)
    np.testing.assert_array_equal(rows.weight, weight)
    assert (data.n_rows, data.total_weight) == (n, weight.sum())


def test_covariates_start_with_a_row_of_ones():
    for block in sample(Z=normal(N, 1, seed=3), block_rows=8).blocks():
        np.testing.assert_array_equal(block.X[0], 1.0)
        np.testing.assert_array_equal(block.Z[0], 1.0)


def test_blocks_are_contiguous_float64_of_one_size():
    """No kernel sees a partial or a strided block."""
    blocks = list(sample(block_rows=8).blocks())
    for block in blocks:
        for name in FIELDS:
            values = getattr(block, name)
            assert values.flags.c_contiguous
            assert values.dtype == np.float64
            assert values.shape == getattr(blocks[0], name).shape


def test_padding_repeats_a_real_row_with_weight_zero():
    """Every function stays finite on it, and it counts for nothing."""
    *_, last = sample(N, block_rows=8, sample_weight=np.arange(1.0, N + 1)).blocks()
    padding = last.weight == 0
    np.testing.assert_array_equal(padding, np.arange(8) >= N % 8)
    for values in (last.X, last.Y):
        np.testing.assert_array_equal(values[:, padding], np.tile(values[:, [N % 8 - 1]], padding.sum()))


@pytest.mark.parametrize("block_rows", [1, 7, 8, 20, 1024, None])
def test_rows_do_not_depend_on_the_tile_size(block_rows):
    for got, want in zip(rows_of(sample(block_rows=block_rows)), rows_of(sample()), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("n", "block_rows"),
    [(1, None), (1000, 100), (BLOCK_ROWS + 1, None), (3 * BLOCK_ROWS - 72, None), (30, 7)],
)
def test_no_tile_is_mostly_padding(n, block_rows):
    """Tiles are even, of a multiple of eight rows, and no longer than asked (rounded up to eight)."""
    weights = [block.weight for block in sample(n, block_rows=block_rows).blocks()]
    size = weights[0].size
    assert size % 8 == 0
    assert size <= -(-(block_rows or BLOCK_ROWS) // 8) * 8
    assert sum(np.count_nonzero(w == 0) for w in weights) < 8 * len(weights)


def test_data_is_a_block_source():
    assert isinstance(sample(), BlockSource)


# ------------------------------------------------------------------------------------- coordinates
def test_working_columns_have_weighted_mean_near_zero():
    """Less than one step of the grid that locations lie on, and rounding."""
    weight = np.exp(normal(N, seed=4))
    rows = rows_of(Data(100 + normal(N, 2, seed=1), 100 + normal(N, seed=2), sample_weight=weight))
    for working in (*rows.X[1:], rows.Y[0]):
        assert abs(np.average(working, weights=weight)) < 1 / LOCATION_GRID + 100 * N * EPS


@pytest.mark.parametrize("unit", [1.0, 1e-200, 1e200])
def test_locations_are_multiples_of_a_fraction_of_the_scale(unit):
    at = sample(X=unit * (normal(N, 3, seed=1) + np.array([0.0, 1e3, -1e6]))).coordinates.X
    steps = at.location / at.scale * LOCATION_GRID
    np.testing.assert_array_equal(steps, np.round(steps))


#: where one more rounding would show: means that fall between the points of a coarse grid, and large ones
ORDERED = {
    "normal": normal(N, 2, seed=1),
    "far": 1e6 + normal(N, 2, seed=1),
    "whole numbers": np.arange(2.0 * N).reshape(N, 2) % 7,
    "two values": np.column_stack([np.arange(N) % 2, np.arange(N) % 3 == 0]).astype(float),
    "thirds": np.column_stack([np.arange(N) / 3, 4096.0 * (np.arange(N) % 4)]),
}


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_does_not_show(name, seed):
    """Row by row, the same bits."""
    X, y = ORDERED[name], normal(N, seed=2)
    weight, order = np.resize([1.0, 2.0, 0.7], N), np.random.default_rng(seed).permutation(N)
    plain, shuffled = rows_of(Data(X, y, sample_weight=weight)), rows_of(Data(X[order], y[order], None, weight[order]))
    for got, want in zip(shuffled, plain, strict=True):
        np.testing.assert_array_equal(got, want[..., order])


@pytest.mark.parametrize("name", ORDERED)
def test_rows_may_be_repeated_instead_of_weighted(name):
    """Row by row, the same bits."""
    X, y, count = ORDERED[name], normal(N, seed=2), np.resize([1, 2, 3], N)
    weighted, repeated = Data(X, y, None, count), Data(np.repeat(X, count, axis=0), np.repeat(y, count))
    assert weighted.coordinates.same_as(repeated.coordinates)
    np.testing.assert_array_equal(rows_of(repeated).X, np.repeat(rows_of(weighted).X, count, axis=1))
    np.testing.assert_array_equal(rows_of(repeated).Y, np.repeat(rows_of(weighted).Y, count, axis=1))


@pytest.mark.parametrize("spread", [1e-100, 0.3, 1.0, 1.5, 1e100])
def test_working_columns_have_standard_deviation_near_one(spread):
    """The nearest power of two is off by at most the root of two, either way."""
    rows = rows_of(Data(spread * normal(N, 1, seed=1), spread * normal(N, seed=2)))
    for working in (rows.X[1], rows.Y[0]):
        assert 2**-0.5 * (1 - N * EPS) <= working.std() <= 2**0.5 * (1 + N * EPS)


def test_scales_are_powers_of_two():
    """So that dividing by them rounds nothing."""
    data = sample(X=normal(N, 5, seed=1) * [1e-3, 0.1, 1, 10, 1e3], Z=normal(N, 2, seed=3))
    at = data.coordinates
    mantissas, _ = np.frexp(np.concatenate([at.X.scale, at.Z.scale, at.y.scale]))
    np.testing.assert_array_equal(mantissas, 0.5)


@few
@given(powers=st.tuples(*[st.integers(-400, 400)] * 3), X=dyadic(N, 2), y=dyadic(N))
def test_units_that_differ_by_a_power_of_two_give_the_same_bits(powers, X, y):
    """Another unit of a column or of the response changes no working value, only the scale."""
    *of_X, of_y = 2.0 ** np.array(powers)
    offset = normal(N, seed=5)
    plain, scaled = Data(X, y, offset=offset), Data(X * of_X, y * of_y, offset=offset * of_y)
    assert bits(scaled) == bits(plain)


@few
@given(power=st.integers(-400, 400))
def test_scales_follow_the_unit(power):
    X, unit = normal(N, 1, seed=1), 2.0**power
    plain, scaled = (sample(X=values).coordinates.X for values in (X, X * unit))
    assert scaled.same_as(Affine(plain.location * unit, plain.scale * unit))


def test_a_constant_column_becomes_exact_zeros():
    data = sample(X=np.full((N, 1), 0.1))
    assert not rows_of(data).X[1].any()
    assert data.coordinates.X.same_as(Affine(np.array([0.1]), np.ones(1)))


def test_class_codes_keep_their_values():
    """A categorical response is neither shifted nor scaled."""
    data = sample(y=np.resize([5, 7, 9], N), categorical=True)
    assert data.coordinates.y.same_as(Affine.identity(1))
    np.testing.assert_array_equal(rows_of(data).Y[0], np.resize([0.0, 1.0, 2.0], N))


AFFINE = Affine(np.array([3.0, -1.0]), np.array([4.0, 0.5]))


def test_restore_undoes_apply():
    raw = normal(N, 2)
    # two roundings at numbers of size |raw| + |location| < 8
    np.testing.assert_allclose(AFFINE.restore(AFFINE.apply(raw)), raw, rtol=0, atol=8 * EPS)


def test_the_inverse_applies_what_restore_restores():
    working = normal(N, 2)
    # location / scale is exact here, so one rounding at numbers of size 16
    np.testing.assert_allclose(AFFINE.inverse().apply(working), AFFINE.restore(working), rtol=0, atol=16 * EPS)


def test_without_location_keeps_the_scale():
    assert AFFINE.without_location().same_as(Affine(np.zeros(2), AFFINE.scale))


@pytest.mark.parametrize("changed", [Affine(np.zeros(2), AFFINE.scale), Affine(AFFINE.location, np.ones(2))])
def test_coordinates_with_another_location_or_scale_are_not_the_same(changed):
    assert not AFFINE.same_as(changed)


# --------------------------------------------------------------------------- moving to coordinates
def moved(at, **changes):
    """Coordinates that differ from the given ones in the named groups of columns."""
    other = {name: Affine(getattr(at, name).location + 0.75, 4 * getattr(at, name).scale) for name in changes}
    return Coordinates(**{name: other.get(name, getattr(at, name)) for name in ("X", "Z", "y")})


def changing(*names):
    return dict.fromkeys(names, True)


GROUPS = [("X",), ("Z",), ("y",), ("X", "Z"), ("X", "Z", "y")]


@pytest.mark.parametrize("names", GROUPS, ids="+".join)
@pytest.mark.parametrize("own_Z", [False, True])
def test_rows_in_other_coordinates_are_the_same_rows(own_Z, names):
    """In each group of columns, up to two roundings at numbers of size 8, in either coordinates."""
    data = sample(Z=normal(N, 1, seed=3) if own_Z else None)
    at = moved(data.coordinates, **changing(*names))
    other = data.in_coordinates(at)
    assert other.coordinates == at
    old, new = rows_of(data), rows_of(other)
    for name, skip in (("X", 1), ("Z", 1), ("Y", 0)):
        source, target = (getattr(c, name if skip else "y") for c in (data.coordinates, at))
        raw = source.restore(getattr(old, name)[skip:].T)
        np.testing.assert_allclose(target.restore(getattr(new, name)[skip:].T), raw, rtol=0, atol=2 * 8 * EPS)


@pytest.mark.parametrize("names", GROUPS, ids="+".join)
def test_going_to_other_coordinates_and_back_restores_the_tiles(names):
    """Up to two roundings each way at numbers of size 8, in working units of 1/4 or more."""
    data = sample(Z=normal(N, 1, seed=3))
    back = data.in_coordinates(moved(data.coordinates, **changing(*names))).in_coordinates(data.coordinates)
    for got, want in zip(rows_of(back), rows_of(data), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=4 * 8 * 4 * EPS)


def test_the_same_coordinates_give_the_same_object():
    data = sample()
    assert data.in_coordinates(data.coordinates) is data


def test_moving_leaves_the_source_alone():
    data = sample()
    before = bits(data)
    data.in_coordinates(moved(data.coordinates, **changing("X", "Z", "y")))
    assert bits(data) == before


@pytest.mark.parametrize("names", GROUPS, ids="+".join)
def test_columns_that_do_not_move_are_shared(names):
    data = sample(Z=normal(N, 1, seed=3))
    (old,), (new,) = data.blocks(), data.in_coordinates(moved(data.coordinates, **changing(*names))).blocks()
    shared = {name: np.shares_memory(getattr(old, name), getattr(new, name)) for name in ("X", "Z", "Y")}
    assert shared == {"X": "X" not in names, "Z": "Z" not in names, "Y": "y" not in names}


def test_a_gate_on_the_same_covariates_keeps_sharing_them():
    data = sample()
    (block,) = data.in_coordinates(moved(data.coordinates, **changing("X", "Z"))).blocks()
    assert np.shares_memory(block.X, block.Z)


def test_the_offset_follows_the_scale_of_the_response():
    """A power of two, so exactly; the location of the response does not enter an offset."""
    data = sample(offset=normal(N, seed=5))
    other = data.in_coordinates(moved(data.coordinates, **changing("y")))
    np.testing.assert_array_equal(rows_of(other).offset, rows_of(data).offset / 4)


# ----------------------------------------------------------------------------------------- weights
def test_rows_of_weight_zero_are_as_if_never_given():
    """To the last bit, also in coordinates and in what Z shares with X."""
    weight = np.resize([1.0, 0.0, 2.5], N)
    kept = weight > 0
    X, y, offset = normal(N, 2, seed=1), normal(N, seed=2), normal(N, seed=5)
    whole = Data(X, y, sample_weight=weight, offset=offset)
    part = Data(X[kept], y[kept], sample_weight=weight[kept], offset=offset[kept])
    assert bits(whole) == bits(part)
    assert whole.n_rows == kept.sum()
    assert whole._Z is whole._X


def test_one_number_weighs_every_row():
    np.testing.assert_array_equal(rows_of(sample(sample_weight=2.0)).weight, np.full(N, 2.0))


# ------------------------------------------------------------------------------- kinds of input
COUNTS = np.random.default_rng(0).integers(-50, 50, (N, 3)).astype(np.float64)  # exact in every type below


def read_only(values):
    values = values.copy()
    values.setflags(write=False)
    return values


def strided(values):
    wide = np.zeros((2 * len(values), 2 * values.shape[1]))
    wide[::2, ::2] = values
    return wide[::2, ::2]


def on_disk(values, folder):
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, values)
    return np.load(path, mmap_mode="r")


KINDS = {
    "fortran": lambda values, _: np.asfortranarray(values),
    "read-only": lambda values, _: read_only(values),
    "strided": lambda values, _: strided(values),
    "big-endian": lambda values, _: values.astype(">f8"),
    "float32": lambda values, _: values.astype(np.float32),
    "int8": lambda values, _: values.astype(np.int8),
    "object": lambda values, _: values.astype(object),
    "list": lambda values, _: values.astype(int).tolist(),
    "frame": lambda values, _: pd.DataFrame(values),
    "nullable frame": lambda values, _: pd.DataFrame(values).astype("Int64"),
    "memmap": on_disk,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_gives_the_same_tiles(kind, tmp_path):
    X, y = COUNTS[:, :2], COUNTS[:, 2:]
    convert = KINDS[kind]
    want = Data(X, y, Z=X, sample_weight=np.abs(y) + 1, offset=y)
    got = Data(
        *(convert(a, tmp_path) for a in (X, y, X)),
        convert(np.abs(y) + 1, tmp_path),
        offset=convert(y, tmp_path),
    )
    assert bits(got) == bits(want)


def test_a_series_is_a_vector_and_a_vector_is_a_column():
    x, y = COUNTS[:, 0], COUNTS[:, 2]
    want = bits(Data(x[:, None], y[:, None]))
    assert bits(Data(x, y)) == want
    assert bits(Data(pd.Series(x, index=range(N, 0, -1)), pd.Series(y))) == want  # the index does not align rows


def test_no_covariates_is_an_array_without_columns():
    y = normal(N, seed=2)
    assert bits(Data(None, y)) == bits(Data(np.empty((N, 0)), y))


def test_the_callers_arrays_are_left_alone():
    inputs = {
        name: normal(N, seed=seed) + 5
        for seed, name in enumerate(("X", "y", "Z", "sample_weight", "offset", "exposure"))
    }
    inputs["sample_weight"][0] = 0.0
    before = {name: values.copy() for name, values in inputs.items()}
    Data(**inputs)
    for name, values in inputs.items():
        np.testing.assert_array_equal(values, before[name])
        assert values.flags.writeable


def test_tiles_do_not_follow_the_callers_arrays():
    X, y = normal(N, 2, seed=1), normal(N, seed=2)
    data = Data(X, y)
    before = bits(data)
    X[:], y[:] = 0.0, 0.0
    assert bits(data) == before


def test_labels_of_any_type_become_codes_in_sorted_order():
    data = sample(y=np.resize(["b", "c", "a"], N), categorical=True)
    assert data.schema.classes == ("a", "b", "c")
    np.testing.assert_array_equal(rows_of(data).Y[0], np.resize([1.0, 2.0, 0.0], N))


def _categorical(labels):
    return pd.Categorical(labels, categories=["low", "never", "high"])


LEVELS = np.resize(["low", "high"], N)


@pytest.mark.parametrize(
    "wrap",
    [pd.Series, lambda labels: labels, lambda labels: pd.DataFrame({"y": labels})],
    ids=["series", "bare", "frame"],
)
def test_a_pandas_categorical_keeps_its_order(wrap):
    """Without the categories that do not occur."""
    assert sample(y=wrap(_categorical(LEVELS)), categorical=True).schema.classes == ("low", "high")


@pytest.mark.parametrize(
    ("y", "expected"),
    [([1, 2], (1, 2)), ([True, False], (False, True)), ([2.0, -1.0], (-1.0, 2.0)), (["b", "a"], ("a", "b"))],
)
def test_class_labels_come_back_as_plain_python_values(y, expected):
    classes = Data(None, y, categorical=True).schema.classes
    assert classes == expected
    assert {type(label) for label in classes} == {type(label) for label in expected}


# ------------------------------------------------------------------------------------------- names
def schema(**inputs):
    found = sample(**inputs).schema
    return found.features, found.gate_features, found.responses


def test_columns_without_names_are_numbered():
    assert schema(Z=normal(N, 1, seed=3)) == (("x1", "x2"), ("z1",), ("y",))


def test_several_responses_without_names_are_numbered():
    assert schema(y=normal(N, 2))[2] == ("y1", "y2")


def test_frames_and_series_keep_their_names():
    X = pd.DataFrame(normal(N, 2), columns=["age", 7])
    names = schema(X=X, y=pd.Series(normal(N), name="income"), Z=pd.Series(normal(N), name="risk"))
    assert names == (("age", "7"), ("risk",), ("income",))


def test_a_series_without_a_name_is_like_an_array():
    assert schema(X=pd.Series(normal(N)))[0] == ("x1",)


def test_the_gates_covariates_default_to_those_of_the_experts():
    X = pd.DataFrame(normal(N, 2), columns=["age", "sex"])
    assert schema(X=X)[1] == ("age", "sex")


def test_no_covariates_have_no_names():
    assert schema(X=None)[:2] == ((), ())


def test_the_representation_shows_rows_and_columns():
    y = np.resize(["u", "v"], N)
    text = f"Data({N} rows, y=['y'], X=['x1', 'x2'], Z=['x1', 'x2'], classes=['u', 'v'])"
    assert repr(sample(y=y, categorical=True)) == text


# -------------------------------------------------------------------------------- the gate's own Z
def test_the_default_gate_shares_the_tiles_of_the_experts():
    for block in sample(block_rows=8).blocks():
        assert np.shares_memory(block.X, block.Z)


def test_a_gate_without_covariates_is_constant():
    (block,) = sample(Z=np.empty((N, 0))).blocks()
    np.testing.assert_array_equal(block.Z, np.ones((1, block.weight.size)))


# ------------------------------------------------------------------------------ offset and exposure
def test_an_offset_is_divided_by_the_scale_of_the_response():
    """Power of two, so exactly: working y - offset is (y - offset - location) / scale."""
    offset = normal(N, seed=5)
    data = sample(y=1000 * normal(N, seed=2), offset=offset)
    np.testing.assert_array_equal(rows_of(data).offset, offset / data.coordinates.y.scale)


def test_the_response_is_centred_and_scaled_net_of_its_offset():
    """An offset that explains the response's size does not blow up the working residuals."""
    y, offset = normal(N, seed=2), 1e6 * normal(N, seed=5)
    at, plain = sample(y=y + offset, offset=offset).moments.y, sample(y=y).moments.y
    # y + offset - offset loses the digits below 1e6 EPS, which a grid of a thousandth does not see
    np.testing.assert_array_equal(at.location, plain.location)
    np.testing.assert_array_equal(at.scale, plain.scale)


def test_the_logarithm_of_an_exposure_joins_the_offset():
    exposure, offset = np.exp(normal(N, seed=5)), normal(N, seed=6)
    assert bits(sample(exposure=exposure, offset=offset)) == bits(sample(offset=offset + np.log(exposure)))


def test_without_offset_or_exposure_the_offset_is_zero():
    assert not rows_of(sample()).offset.any()


@pytest.mark.parametrize("given_", [(), ("offset",), ("exposure",), ("offset", "exposure")], ids="+".join)
def test_a_source_tells_whether_it_has_offset_or_exposure(given_):
    """Experts that know neither refuse, even if the values are all zero."""
    data = sample(**dict.fromkeys(given_, np.ones(N)))
    assert (data.uses_offset, data.uses_exposure) == ("offset" in given_, "exposure" in given_)


# ------------------------------------------------------------------------------ finite but extreme
@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param({"X": [0.0, 1e-300, 3e-300]}, id="small"),
        pytest.param({"X": [0.0, 1e300, -1e300]}, id="large"),
        pytest.param({"X": [1.0, np.nextafter(1.0, 2.0), 1.0]}, id="almost constant"),
        pytest.param({"X": [0.0, 1.5e308, 1e308]}, id="largest"),
        pytest.param({"X": [0.0, 5e-324, 0.0]}, id="smallest"),
        pytest.param({"X": [1.0, 2.0, 1.0], "sample_weight": [1e300, 1e-300, 1.0]}, id="uneven weights"),
    ],
)
def test_finite_rows_have_finite_working_values(inputs):
    data = Data(**{"y": [1.0, 2.0, 4.0], **inputs})
    assert np.isfinite(np.concatenate([rows_of(data).X, rows_of(data).Y])).all()


# ---------------------------------------------------------------------------------------- new rows
def query(data, *args, **inputs):
    return query_block(data.schema, data.coordinates, *args, **inputs)


@pytest.mark.parametrize("Z", [None, normal(N, 1, seed=3)], ids=["shared", "own"])
def test_new_rows_enter_in_the_coordinates_of_the_fit(Z):
    """The rows of the fit, asked for again, have the working values they were fitted with."""
    X, y, offset = normal(N, 2, seed=1), 1000 * normal(N, seed=2), normal(N, seed=5)
    data = Data(X, y, Z, offset=offset)
    block, rows = query(data, X, Z, y=y, offset=offset), rows_of(data)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(block, name), getattr(rows, name))


def test_new_rows_are_one_contiguous_block():
    """Another memory order compiles every kernel again, into slower loops."""
    block = query(sample(), normal(N, 2, seed=1))
    assert all(getattr(block, name).flags.c_contiguous for name in FIELDS)


def test_new_responses_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"y must have the columns of the fit, \['y'\]; got 2"):
        query(sample(), normal(N, 2, seed=1), y=normal(N, 2))


def test_new_rows_of_a_model_without_covariates_need_a_count():
    with pytest.raises(
        InputError, match=r"X is needed to say how many rows there are: pass an array of shape \(n, 0\)"
    ):
        query(sample(X=None), None)


def test_labels_of_new_rows_take_the_codes_of_the_fit():
    """Also when some classes do not occur among them."""
    data = sample(y=np.resize(["a", "b", "c"], N), categorical=True)
    np.testing.assert_array_equal(query(data, normal(2, 2), y=["c", "b"]).Y, [[2.0, 1.0]])


def test_without_a_response_new_rows_hold_zeros():
    np.testing.assert_array_equal(query(sample(), normal(3, 2)).Y, np.zeros((1, 3)))


FRAME = pd.DataFrame(normal(N, 2), columns=["age", "sex"])


@pytest.mark.parametrize(
    ("fitted", "asked", "message"),
    [
        pytest.param({}, {"X": None}, r"X is needed: the experts use 2 covariates, \['x1', 'x2'\]", id="no X"),
        pytest.param(
            {"X": FRAME, "Z": np.ones(N)},
            {"X": FRAME},
            r"Z is needed: the gate has its own covariates, \['z1'\]",
            id="no Z",
        ),
        pytest.param(
            {},
            {"X": np.ones((3, 1))},
            r"X must have the 2 columns of the fit, \['x1', 'x2'\]; got 1",
            id="width",
        ),
        pytest.param(
            {"X": FRAME},
            {"X": FRAME[["sex", "age"]]},
            r"in their order, \['age', 'sex'\]; got \['sex', 'age'\]",
            id="order",
        ),
        pytest.param({}, {"X": np.ones((3, 2)), "y": np.ones(2)}, "y must have as many rows as .*3; got 2", id="rows"),
        pytest.param(
            {"y": np.resize(["a", "b"], N), "categorical": True},
            {"X": np.ones((2, 2)), "y": ["a", "q"]},
            r"y must hold classes of the fit, \['a', 'b'\]; got also \['q'\]",
            id="class",
        ),
    ],
)
def test_new_rows_that_do_not_fit_the_model(fitted, asked, message):
    with pytest.raises(InputError, match=message):
        query(sample(**fitted), **asked)
