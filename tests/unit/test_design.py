"""Nearly collinear, repeated and constant covariates: how they are seen, named, mixed and reported."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import moestat as ms
from moestat.coordinates import Affine, Blend, Coordinates
from moestat.data import Data
from moestat.design import BLEND_CONDITION, Deficiency, deficiencies, measure
from moestat.errors import NotIdentifiedError
from moestat.query import query_block
from tests.unit.draws import normal

EPS = np.finfo(np.float64).eps
N = 150
ONE, TWO = ms.MixtureOfExperts(n_experts=1), ms.MixtureOfExperts(n_experts=2)


@cache
def lines():
    """Two covariates, and a response on one of two lines that the first of them chooses between."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((N, 2)) * [1.0, 3.0] + [5.0, -2.0]
    first = rng.random(N) < 1 / (1 + np.exp(5.0 - X[:, 0]))
    y = np.where(first, 1.0 + X @ [1.0, 2.0], X @ [-1.0, 0.5] - 2.0) + 0.4 * rng.standard_normal(N)
    return X, y


def fit(model, *rows, **options):
    """A fit whose warnings are not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ms.fit(model, *rows, **{"n_starts": 6, **options})


def working(source):
    """Working covariates (n, d) of the real rows."""
    return np.hstack([block.X[1:, block.weight > 0] for block in source.blocks()]).T


def frame(**columns):
    X, _ = lines()
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], **{name: f(*X.T) for name, f in columns.items()}})


#: distance of a third column from the first: the condition of the standardised columns is about two over it
def near(distance, seed=9):
    return lambda a, b: a + distance * normal(N, seed=seed)


# ------------------------------------------------------------------------------------ when columns are mixed
def test_well_conditioned_columns_stay_single():
    X, y = lines()
    at = TWO.data(X, y).coordinates
    assert isinstance(at.X, Affine)
    assert (at.null_X, at.null_Z) == (None, None)


@pytest.mark.parametrize(("distance", "mixed"), [(8.0 / BLEND_CONDITION, False), (0.5 / BLEND_CONDITION, True)])
def test_columns_are_mixed_from_a_condition_on(distance, mixed):
    _, y = lines()
    at = TWO.data(frame(c=near(distance)), y).coordinates
    assert isinstance(at.X, Blend) is mixed
    assert at.Z is at.X or at.Z.same_as(at.X)
    assert at.null_X is None


@pytest.mark.parametrize("distance", [1e-4, 1e-7, 1e-10])
def test_mixed_columns_are_nearly_uncorrelated(distance):
    """Standard deviations within a root of two of one, means on a grid of a thousandth."""
    weight = np.exp(normal(N, seed=4))
    rows = working(TWO.data(frame(c=near(distance)), lines()[1], None, weight))
    share = weight / weight.sum()
    mean = share @ rows
    products = (rows - mean).T @ ((rows - mean) * share[:, None])
    assert np.abs(mean).max() < 1e-3
    size = np.sqrt(np.diag(products))
    assert 0.7 < size.min() <= size.max() < 1.42
    assert np.abs(products - np.diag(size**2)).max() < 1e-15 / distance + 1e-10


def test_tiles_of_mixed_columns_are_shared_by_gate_and_experts():
    (block,) = TWO.data(frame(c=near(1e-6)), lines()[1]).blocks()
    assert block.X is block.Z


def test_preparing_twice_changes_nothing():
    source = TWO.data(frame(c=near(1e-6), d=lambda a, b: a + b), lines()[1])
    assert TWO.prepare(source) is source


def test_the_length_of_blocks_hardly_matters():
    X, y = frame(c=near(1e-6)), lines()[1]
    whole, parts = (working(TWO.prepare(Data(X, y, block_rows=rows))) for rows in (None, 16))
    np.testing.assert_allclose(parts, whole, atol=1e-8)  # rounding times the condition


@pytest.mark.parametrize("powers", [(30, -200, 300), (-400, 400, 0)])
@pytest.mark.parametrize("third", [near(1e-6), lambda a, b: a + b], ids=["nearly collinear", "collinear"])
def test_units_that_differ_by_a_power_of_two_give_the_same_bits(third, powers):
    X, y = frame(c=third), lines()[1]
    plain, scaled = TWO.data(X, y), TWO.data(X * 2.0 ** np.array(powers), y)
    assert isinstance(scaled.coordinates.X, Blend)
    np.testing.assert_array_equal(working(scaled), working(plain))


# ------------------------------------------------------------------------------------ the map itself
def blend(third, location=True):
    X, y = frame(c=third), lines()[1]
    source = Data(X, y)
    at = source.moments.X if location else source.moments.X.without_location()
    return measure(source, location).X.blend(at, location), X.to_numpy()


@pytest.mark.parametrize("location", [True, False], ids=["about the means", "about the origin"])
@pytest.mark.parametrize("third", [near(1e-6), lambda a, b: a + b], ids=["nearly collinear", "collinear"])
def test_predictors_are_carried_there_and_back(third, location):
    """On the rows, and coefficient by coefficient: to roundings of the largest."""
    at, X = blend(third, location)
    slopes, intercept = np.array([[1.0, -2.0, 0.5]]), np.array([3.0])
    there, gained = at.slopes(slopes), intercept + at.gain(slopes)
    np.testing.assert_allclose(at.apply_to_new(X) @ there.T + gained, X @ slopes.T + intercept, rtol=0, atol=1e-13 * 50)
    back = at.inverse()
    np.testing.assert_allclose(back.slopes(there), slopes, rtol=0, atol=32 * EPS)
    np.testing.assert_allclose(gained + back.gain(there), intercept, rtol=0, atol=200 * EPS)


def test_raw_columns_are_restored():
    """From nearly collinear combinations too: what is small in them is small in the columns."""
    at, X = blend(near(1e-6))
    np.testing.assert_allclose(at.restore(at.apply(X)), X, rtol=0, atol=100 * EPS)
    inverse = at.inverse()
    np.testing.assert_array_equal(inverse.apply(at.apply(X)), at.restore(at.apply(X)))
    np.testing.assert_array_equal(inverse.restore(X), at.apply_to_new(X))
    assert inverse.inverse() is at
    assert inverse.same_as(at.inverse())
    assert not inverse.same_as(at)


def test_combinations_that_vanish_are_zeros_on_the_rows_of_the_fit_alone():
    at, X = blend(lambda a, b: a + b)
    np.testing.assert_array_equal(at.null, [False, False, True])
    assert not at.apply(X)[:, 2].any()
    assert np.abs(at.apply_to_new(X)[:, 2]).max() < 100 * EPS
    assert np.abs(at.apply_to_new(X + np.array([0.0, 0.0, 1.0]))[:, 2]).min() > 0.1


def test_without_centring_the_origin_stays():
    """A held intercept bears no shift."""
    at, _ = blend(near(1e-6), location=False)
    assert not at.gain(np.ones((1, 3))).any()
    assert not at.apply_to_new(np.zeros((1, 3))).any()


# ------------------------------------------------------------------------------------ relations and their names
RELATIONS = {
    "twin": ({"c": lambda a, b: a}, ["c = a"]),
    "multiple": ({"c": lambda a, b: -3.5 * b}, ["c = -3.5 b"]),
    "other unit": ({"c": lambda a, b: 32.0 + 1.8 * a}, ["c = 1.8 a + 32"]),
    "sum": ({"c": lambda a, b: a + b}, ["c = a + b"]),
    "difference": ({"c": lambda a, b: 2.0 * a - b - 7.0}, ["c = 2 a - b - 7"]),
    "dummies": ({"c": lambda a, b: 1.0 * (a > 5), "d": lambda a, b: 1.0 * (a <= 5)}, ["d = -c + 1"]),
    "constant": ({"c": lambda a, b: 0.0 * a + 3.1}, ["c is constant"]),
    "zero": ({"c": lambda a, b: 0.0 * a}, ["c is constant"]),
    "several": (
        {"c": lambda a, b: a + b, "d": lambda a, b: 0.0 * a - 1.0, "e": lambda a, b: a - b},
        ["c = a + b", "d is constant", "e = a - b"],
    ),
    "many": (
        {"c": near(1.0), "d": near(1.0, 10), "e": lambda a, b: a + b + near(1.0)(a, b) + near(1.0, 10)(a, b)},
        ["e is a linear combination of 4 others (a, b, c, ...)"],
    ),
    "nearly": ({"c": near(1e-9)}, []),
}


def named(source):
    return list(map(str, deficiencies(source.schema, source.coordinates)))


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_are_written_out(name):
    columns, expected = RELATIONS[name]
    assert named(TWO.data(frame(**columns), lines()[1])) == expected


@pytest.mark.parametrize("far", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("count", [2, 50])
def test_sums_in_double_precision_count_as_exact(count, far):
    """Also of columns far from the origin, whose roundings are large beside their spread."""
    X = normal(300, count, seed=1) + far * normal(count, seed=2)
    source = ONE.data(np.column_stack([X, X.sum(axis=1)]), normal(300, seed=5))
    assert len(source.coordinates.null_X) == 1


def test_more_columns_than_rows_are_related():
    source = ONE.data(normal(12, 20), normal(12, seed=1))
    assert len(source.coordinates.null_X) == 20 - 11


def test_a_relation_of_the_gates_own_covariates_is_named_once():
    X, y = lines()
    Z = pd.DataFrame({"u": X[:, 0], "v": 2 * X[:, 0]})
    source = TWO.data(X, y, Z)
    assert deficiencies(source.schema, source.coordinates) == (Deficiency("Z", ("u", "v"), "v = 2 u"),)
    both = TWO.data(Z, y)
    assert [d.of for d in deficiencies(both.schema, both.coordinates)] == ["X and Z"]


def test_one_expert_needs_no_gate_and_its_covariates_no_names():
    source = ONE.data(frame(c=lambda a, b: a), lines()[1])
    assert [d.of for d in deficiencies(source.schema, source.coordinates)] == ["X"]


EXTREME = {
    "small": [0.0, 1e-300, 3e-300, 2e-300],
    "large": [0.0, 1e300, -1e300, 5e299],
    "largest": [0.0, 1.5e308, 1e308, 1e307],
    "smallest": [0.0, 5e-324, 0.0, 0.0],
    "almost constant": [1.0, np.nextafter(1.0, 2.0), 1.0, 1.0],
    "constant": [1e308, 1e308, 1e308, 1e308],
    "subnormal": [1e-310, 2e-310, 1e-310, 3e-310],
    "plain": [1.0, 2.0, 1.0, 5.0],
}


@pytest.mark.parametrize("bounded", [(), ("gate.slopes",), ("expert.intercepts",)])
@pytest.mark.parametrize("seed", range(20))
def test_extreme_columns_are_placed_and_named(seed, bounded):
    """Without a warning, with weights beyond measure too; every number is finite."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([EXTREME[name] for name in rng.choice(list(EXTREME), 4)])
    weight = [None, [1e300, 1e-300, 1.0, 1.0], [1e-200, 1.0, 1.0, 1.0]][seed % 3]
    source = TWO.prepare(Data(X, [1.0, 2.0, 4.0, 3.0], None, weight), bounded)
    assert np.isfinite(working(source)).all()
    assert len(named(source)) >= 1  # four columns of four rows
    assert np.isfinite(TWO.null_directions(source.schema, source.coordinates)).all()


# ------------------------------------------------------------------------------------ what may not be mixed
HELD = {
    "gate slopes": ({"gate.slopes": 0.0}, Blend, Affine, "X"),
    "gate intercepts": ({"gate.intercepts": 0.0}, Blend, Blend, "X and Z"),
    "slopes": ({"expert.slopes": 1.0}, Affine, Blend, "Z"),
    "intercepts": ({"expert.intercepts": 0.5}, Blend, Blend, "X and Z"),
    "variances": ({"expert.variances": 0.5}, Blend, Blend, "X and Z"),
}


@pytest.mark.parametrize("held", HELD)
def test_held_fields_stay_where_they_are(held):
    """Mixed is what leaves them there, and named what they leave open."""
    fixed, of_X, of_Z, part = HELD[held]
    model = ms.MixtureOfExperts(fixed=fixed)
    source = model.data(frame(c=lambda a, b: a + b), lines()[1])
    at = source.coordinates
    assert (type(at.X), type(at.Z)) == (of_X, of_Z)
    assert [(d.of, str(d)) for d in deficiencies(source.schema, at)] == [(part, "c = a + b")]
    theta = model.holding(source.schema, at).apply(normal(model.layout(source.schema).size))
    params = model.from_theta(theta, source.schema, at)
    ((path, value),) = fixed.items()
    first, field = path.split(".")
    np.testing.assert_allclose(getattr(getattr(params, first), field), value, rtol=4 * EPS)  # exp after log


BOUNDED = {
    "gate slopes": ("gate.slopes", Blend, Affine, True, True),
    "gate intercepts": ("gate.intercepts", Blend, Blend, True, False),
    "slopes": ("expert.slopes", Affine, Blend, True, True),
    "intercepts": ("expert.intercepts", Blend, Blend, False, True),
    "variances": ("expert.variances", Blend, Blend, True, True),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_each_entry_of_a_bounded_field_depends_on_itself_alone(name):
    """First nothing is mixed, then nothing is centred; collinear columns are named all the same."""
    path, of_X, of_Z, centred_X, centred_Z = BOUNDED[name]
    source = TWO.prepare(Data(frame(c=lambda a, b: a + b), lines()[1]), bounded=(path,))
    at = source.coordinates
    assert (type(at.X), type(at.Z)) == (of_X, of_Z)
    locations = [(part.standard if isinstance(part, Blend) else part).location for part in (at.X, at.Z)]
    assert [bool(location.any()) for location in locations] == [centred_X, centred_Z]
    assert [(d.of, str(d)) for d in deficiencies(source.schema, at)] == [("X and Z", "c = a + b")]
    layout = TWO.layout(source.schema)

    def carried(theta):
        return TWO.to_theta(layout.unpack(theta), source.schema, at)

    base, index = normal(layout.size), layout.index(path).ravel()
    for i in range(layout.size):
        moved = np.flatnonzero(carried(base + (np.arange(layout.size) == i)) != carried(base))
        assert not (set(moved) - {i}) & set(index)


def test_a_bound_on_an_unknown_field_is_refused():
    with pytest.raises(ms.errors.InputError, match="unknown parameter field"):
        TWO.prepare(Data(*lines()), bounded=("gate.slope",))


def test_a_column_of_ones_may_stand_for_a_held_intercept():
    """It is constant, but not superfluous: nothing is named, and the fit is that with an intercept."""
    X, y = lines()
    model = ms.MixtureOfExperts(n_experts=1, fixed={"expert.intercepts": 0.0})
    held, free = fit(model, frame(one=lambda a, b: 0.0 * a + 1.0), y), fit(ONE, X, y)
    assert named(held.source) == []
    assert held.llf == pytest.approx(free.llf, rel=1e-12)
    assert held.params.expert.slopes[0, 2] == pytest.approx(free.params.expert.intercepts[0], rel=1e-9)
    assert held.bse["expert[1].one"] == pytest.approx(free.bse["expert[1].const"], rel=1e-9)


# ------------------------------------------------------------------------------------ what nothing tells apart
@pytest.mark.parametrize("bounded", [(), ("gate.slopes", "expert.slopes"), ("gate.intercepts", "expert.intercepts")])
@pytest.mark.parametrize("name", ["twin", "difference", "constant", "several"])
def test_null_directions_leave_every_density_as_it_is(name, bounded):
    """In whatever coordinates; one per relation and predictor."""
    columns, expected = RELATIONS[name]
    source = TWO.prepare(Data(frame(**columns), lines()[1]), bounded=bounded)
    schema, at = source.schema, source.coordinates
    directions = TWO.null_directions(schema, at)
    assert len(directions) == 4 * len(expected)
    (block,) = source.blocks()
    terms, theta = TWO.terms(schema), 0.1 * normal(TWO.layout(schema).size)
    here = next(terms.tiles(theta, [block])).row.copy()
    for direction in directions:
        assert np.linalg.norm(direction) == pytest.approx(1.0)
        np.testing.assert_allclose(next(terms.tiles(theta + direction, [block])).row, here, rtol=1e-10, atol=1e-12)


def test_in_mixed_coordinates_null_directions_are_single_slopes():
    source = TWO.data(frame(c=lambda a, b: a + b), lines()[1])
    directions = TWO.null_directions(source.schema, source.coordinates)
    layout = TWO.layout(source.schema)
    place = np.concatenate([layout.index("gate.slopes")[:, 2], layout.index("expert.slopes")[:, 2]])
    np.testing.assert_array_equal(np.abs(directions), np.eye(layout.size)[place])


# ------------------------------------------------------------------------------------ fits
SUPERFLUOUS = {
    "twin": ({"c": lambda a, b: a}, {"a", "c"}),
    "sum": ({"c": lambda a, b: a + b}, {"a", "b", "c"}),
    "unit": ({"c": lambda a, b: 32.0 + 1.8 * a}, {"const", "a", "c"}),
    "constant": ({"c": lambda a, b: 0.0 * a + 3.1}, {"const", "c"}),
    "zero": ({"c": lambda a, b: 0.0 * a}, {"c"}),
}
EXPERTS = {"one": ONE, "two": TWO}

#: two runs stop within the solver's tolerance of the maximum; one expert's maximum is found in closed form
SAME_MEANS = {"one": 1e-12, "two": 1e-9}


@cache
def plain(experts):
    return fit(EXPERTS[experts], frame(), lines()[1])


@cache
def superfluous(name, experts):
    return fit(EXPERTS[experts], frame(**SUPERFLUOUS[name][0]), lines()[1])


each = pytest.mark.parametrize(
    ("name", "experts"), [(name, experts) for name in SUPERFLUOUS for experts in EXPERTS], ids="-".join
)


@each
def test_a_superfluous_column_changes_no_prediction(name, experts):
    got, expected = superfluous(name, experts), plain(experts)
    assert got.llf == pytest.approx(expected.llf, rel=1e-12, abs=1e-9)
    for ask in ("predict", "gate_weights", "responsibilities"):
        want = getattr(expected, ask)()
        np.testing.assert_allclose(getattr(got, ask)(), want, rtol=0, atol=SAME_MEANS[experts] * np.abs(want).max())


@each
def test_of_all_solutions_the_shortest_is_reported(name, experts):
    """In standardised columns: no null direction has a part in it."""
    results = superfluous(name, experts)
    directions = results.model.null_directions(results.schema, results.coordinates)
    np.testing.assert_allclose(directions @ results.theta, 0.0, atol=1e-12)
    if name in ("constant", "zero"):
        assert np.abs(results.params.expert.slopes[:, 2]).max() < 1e-12
    if name == "twin":
        np.testing.assert_allclose(results.params.expert.slopes[:, 0], results.params.expert.slopes[:, 2], rtol=1e-12)


@each
def test_errors_are_missing_for_the_coefficients_involved_alone(name, experts):
    """The others have those of the fit without the column."""
    results = superfluous(name, experts)
    errors = results.standard_errors(allow_singular=True)
    assert {label.split(".")[-1] for label in errors.index[errors.isna()]} == SUPERFLUOUS[name][1]
    kept = errors.dropna()
    np.testing.assert_allclose(kept, plain(experts).bse[kept.index], rtol=1e-7)
    with pytest.raises(NotIdentifiedError, match="linearly related covariates: c "):
        _ = results.bse


@each
def test_means_have_their_errors_where_the_rows_keep_the_relation(name, experts):
    results, X = superfluous(name, experts), frame(**SUPERFLUOUS[name][0])
    expected = plain(experts).get_prediction(frame()[:5])
    np.testing.assert_allclose(results.get_prediction(X[:5]).se, expected.se, rtol=1e-7)
    with pytest.raises(NotIdentifiedError, match="linearly related covariates"):
        results.get_prediction(X[:5].assign(c=X.c[:5] + 1.0))


@each
def test_the_maximum_is_strict_beyond_the_relations(name, experts):
    results = superfluous(name, experts)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.df_model == plain(experts).df_model


@each
def test_a_saved_fit_keeps_its_coordinates(name, experts, tmp_path):
    results, X = superfluous(name, experts), frame(**SUPERFLUOUS[name][0])
    loaded = ms.load(results.save(tmp_path / "fit"))
    assert loaded.coordinates.same_as(results.coordinates)
    np.testing.assert_array_equal(loaded.predict(X), results.predict(X))
    np.testing.assert_array_equal(
        loaded.standard_errors(allow_singular=True), results.standard_errors(allow_singular=True)
    )


def test_new_rows_are_placed_as_the_rows_of_the_fit():
    results, X = fit(TWO, frame(c=near(1e-6)), lines()[1]), frame(c=near(1e-6))
    np.testing.assert_array_equal(results.predict(X), results.predict())
    block = query_block(results.schema, results.coordinates, X)
    np.testing.assert_array_equal(block.X[1:].T, working(results.source))


def test_raw_parameters_have_the_likelihood_of_the_fit():
    results, X = fit(TWO, frame(c=near(1e-6)), lines()[1]), frame(c=near(1e-6))
    assert TWO.loglik(results.params, X, lines()[1]) == pytest.approx(results.llf, rel=1e-12)
    again = fit(TWO, X, lines()[1], start=results.params, n_starts=1)
    assert again.llf == pytest.approx(results.llf, rel=1e-12)


# ------------------------------------------------------------------------------------ nearly collinear columns
#: correlation 1 - 1e-10
CLOSE = np.sqrt(2e-10)


def test_nearly_collinear_columns_have_the_errors_of_least_squares():
    """Seven digits fewer than sixteen, on both sides."""
    X, y = frame(c=near(CLOSE)), lines()[1]
    results = ms.fit(ONE, X, y)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    ols = sm.OLS(y, sm.add_constant(X)).fit()
    line = np.r_[results.params.expert.intercepts, results.params.expert.slopes[0]]
    np.testing.assert_allclose(line, ols.params, rtol=1e-7)
    errors = results.bse[[f"expert[1].{name}" for name in ("const", "a", "b", "c")]]
    np.testing.assert_allclose(errors, ols.bse * np.sqrt((N - 4) / N), rtol=1e-7)


def test_nearly_collinear_columns_give_the_fit_of_their_orthogonal_combinations():
    """The difference of the two, by hand: the same model in other coordinates."""
    y = lines()[1]
    noise = normal(N, seed=9)
    close, apart = (ms.fit(TWO, X, y, n_starts=6) for X in (frame(c=near(CLOSE)), frame(c=lambda a, b: noise)))
    assert close.certificate.status is apart.certificate.status is ms.Status.STRICT_MAXIMUM
    assert close.llf == pytest.approx(apart.llf, rel=1e-11)
    for part in ("gate", "expert"):
        (s1, _, s3), (t1, _, t3) = (getattr(r.params, part).slopes.T for r in (close, apart))
        np.testing.assert_allclose(s3 * CLOSE, t3, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(s1 + s3, t1, rtol=0, atol=1e-6)
    names = [f"{part}.c" for part in ("gate[1]", "expert[1]", "expert[2]")]
    np.testing.assert_allclose(close.bse[names] * CLOSE, apart.bse[names], rtol=1e-6)
    others = [name for name in close.names if name.endswith((".b", "const", "variance"))]
    np.testing.assert_allclose(close.bse[others], apart.bse[others], rtol=1e-6)


# ------------------------------------------------------------------------------------ other families
CLASSES = np.where(normal(N, seed=7) > 0.8, "low", np.where(lines()[0][:, 0] + normal(N, seed=8) > 5, "mid", "top"))


@pytest.mark.parametrize("third", [lambda a, b: a + b, near(1e-8)], ids=["collinear", "nearly collinear"])
def test_classes_may_have_collinear_covariates(third):
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    got, X = fit(model, frame(c=third), CLASSES), frame(c=third)
    noise = (X.c - X.a) / 1e-8
    expected = fit(model, frame() if np.ptp(noise) > 100 else frame(c=lambda a, b: noise), CLASSES)
    assert got.llf == pytest.approx(expected.llf, rel=1e-12)
    np.testing.assert_allclose(got.predict(), expected.predict(), atol=1e-7)
    assert got.certificate.status is ms.Status.STRICT_MAXIMUM


def test_the_gate_may_have_collinear_covariates_of_its_own():
    X, y = lines()
    Z = np.column_stack([X[:, 0], 1.0 - X[:, 0], np.ones(N)])
    got, expected = fit(TWO, X, y, Z), fit(TWO, X, y, X[:, :1])
    assert got.llf == pytest.approx(expected.llf, rel=1e-12)
    errors = got.standard_errors(allow_singular=True)
    assert sorted(errors.index[errors.isna()]) == ["gate[1].const", "gate[1].z1", "gate[1].z2", "gate[1].z3"]
    np.testing.assert_allclose(errors.dropna(), expected.bse[errors.dropna().index], rtol=1e-7)


def test_families_side_by_side_share_the_mixture():
    model = ms.MixtureOfExperts(expert=("gaussian", "gaussian"))
    got = fit(model, frame(c=near(1e-7)), lines()[1])
    expected = fit(TWO, frame(c=near(1e-7)), lines()[1])
    assert isinstance(got.coordinates.X, Blend)
    assert got.llf == pytest.approx(expected.llf, rel=1e-10)


# ------------------------------------------------------------------------------------ storage
def test_coordinates_are_restored_from_plain_arrays():
    source = TWO.data(frame(c=lambda a, b: a + b), lines()[1], normal(N, 1))
    at = source.coordinates
    assert Coordinates.from_arrays(at.to_arrays()).same_as(at)
    assert not Coordinates.from_arrays(at.to_arrays()).same_as(source.moments)
