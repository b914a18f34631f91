"""Starting values: reproducible, admissible, and of many kinds."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np
import pytest

import moestat as ms
from moestat.data import Block
from moestat.experts import Gaussian
from moestat.starts import CATEGORICAL_FAMILIES, FAMILIES, SKETCH_ROWS, cells, clusters, make_starts, start_from
from tests.unit.draws import normal
from tests.unit.samples import problem_of, sample

each_family = pytest.mark.parametrize("family", FAMILIES)

TURN = len(FAMILIES)


def block(X, y, Z=None, weight=None):
    """Rows in working coordinates, as a sketch holds them."""
    n = len(y)
    X, Z = (np.vstack([np.ones(n), np.reshape(columns, (n, -1)).T]) for columns in (X, X if Z is None else Z))
    return Block(X, Z, np.asarray(y, dtype=float)[None], np.zeros(n), np.ones(n) if weight is None else weight)


#: rows that give a family trouble: (X, y)
HARD_ROWS = {
    "ordinary": (normal(50, 2), normal(50)),
    "all the same": (np.ones((20, 1)), np.ones(20)),
    "no covariates": (np.empty((20, 0)), normal(20)),
    "repeated": (np.repeat([0.0, 1.0], 10), np.repeat([0.0, 5.0], 10)),
    "fewer than experts": (normal(2, 1), normal(2)),
    "fewer than coefficients": (normal(4, 6), normal(4)),
}


def thetas(starts):
    return np.stack([start.theta for start in starts])


# ------------------------------------------------------------------------------------ families
@each_family
@pytest.mark.parametrize("rows", HARD_ROWS)
def test_a_family_shares_every_row_among_the_experts(family, rows):
    resp = FAMILIES[family](block(*HARD_ROWS[rows]), 3, np.random.default_rng(0))
    assert resp.shape == (3, len(HARD_ROWS[rows][1]))
    assert (resp >= 0).all()
    np.testing.assert_allclose(resp.sum(axis=0), 1.0, rtol=1e-15)


@each_family
def test_a_family_is_a_pure_function_of_the_generator(family):
    rows = block(*HARD_ROWS["ordinary"])
    one, same, other = (FAMILIES[family](rows, 3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@each_family
def test_the_own_expert_has_nearly_all_or_all_of_a_row(family):
    """Hard labels and clusters give nothing to the others; the rest leave a way back."""
    resp = FAMILIES[family](block(*HARD_ROWS["ordinary"]), 3, np.random.default_rng(0))
    own = 1.0 if family in ("hard_labels", "clusters") else 0.9
    np.testing.assert_allclose(resp.max(axis=0), own, rtol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_part_clouds_that_lie_far_apart(seed):
    """Wherever the first centres fall."""
    side = np.arange(40) % 2
    rows = block(normal(40, 1, seed=1) + 50 * side[:, None], normal(40, seed=2))
    first = clusters(rows, 2, np.random.default_rng(seed))[0] > 0.5
    assert np.array_equal(first, side == 0) or np.array_equal(first, side == 1)


def test_far_clouds_get_lines_of_their_own():
    """One steep line through both would fit well enough to hold every start that mixes them."""
    side = np.arange(60) >= 30
    x = np.linspace(0, 1, 60) + 9 * side
    y = np.where(side, 50 - x, 1 + x) + 0.1 * normal(60, seed=1)
    rows = problem_of(ms.MixtureOfExperts(), x, y)
    source = rows.passes.source
    start = next(start for start in make_starts(rows, TURN, 0) if start.family == "clusters")
    slopes = ms.MixtureOfExperts().from_theta(start.theta, source.schema, source.coordinates).expert.slopes
    np.testing.assert_allclose(np.sort(slopes[:, 0]), [-1.0, 1.0], atol=0.5)


def test_clusters_weigh_the_rows():
    """The row at 4 goes with the one at 0, unless its other neighbour draws a centre onto itself."""
    x = np.array([0.0, 4.0, 6.0, 10.0])
    seed = next(s for s in range(100) if set(np.random.default_rng(s).choice(4, 2, replace=False)) == {0, 3})

    def goes_with_the_first(weight):
        own = clusters(block(x, np.zeros(4), weight=np.array(weight)), 2, np.random.default_rng(seed)).argmax(axis=0)
        return own[1] == own[0]

    assert goes_with_the_first([1.0, 1.0, 1.0, 1.0])
    assert not goes_with_the_first([1000.0, 1.0, 1000.0, 1.0])


def test_cells_follow_the_gates_covariates_alone():
    rows = block(normal(30, 1, seed=1), normal(30, seed=2), Z=np.repeat([0.0, 1.0], 15))
    resp = cells(rows, 2, np.random.default_rng(3))
    assert (resp[:, :15] == resp[:, :1]).all()
    assert (resp[:, 15:] == resp[:, -1:]).all()


# ------------------------------------------------------------------------------------ starts
def test_the_same_seed_gives_the_same_starts():
    problem = sample(3).problem
    one, same, other = (thetas(make_starts(problem, TURN, seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.isclose(one, other).all(axis=1).any()


def test_a_start_depends_on_the_seed_and_its_number_alone():
    """More starts only add to those there were; nothing global is drawn from."""
    problem = sample(3).problem
    many = thetas(make_starts(problem, 2 * TURN, 5))
    np.random.seed(0)  # noqa: NPY002
    np.testing.assert_array_equal(thetas(make_starts(problem, 4, 5)), many[:4])


def test_starts_go_round_the_families():
    families = [start.family for start in make_starts(sample(2).problem, TURN + 3, 0)]
    assert families == list(islice(cycle(FAMILIES), TURN + 3))


def test_starts_for_classes_go_round_the_families_for_classes():
    """Lines through class codes mean nothing."""
    families = [start.family for start in make_starts(sample(2, expert="multinomial").problem, 5, 0)]
    assert families == list(islice(cycle(CATEGORICAL_FAMILIES), 5))
    assert not {"local_lines", "elemental", "clusters"} & set(CATEGORICAL_FAMILIES)


def test_one_expert_has_one_start():
    """It is the regression of all rows, which needs no second try."""
    rows = sample(2)
    weight = np.random.default_rng(1).gamma(2.0, size=rows.y.size)
    problem = problem_of(ms.MixtureOfExperts(n_experts=1), rows.X, rows.y, None, weight)
    (start,) = make_starts(problem, 20, 0)
    source = problem.passes.source
    line = ms.MixtureOfExperts(n_experts=1).from_theta(start.theta, source.schema, source.coordinates).expert
    slope, intercept = np.polyfit(rows.X[:, 0], rows.y, 1, w=np.sqrt(weight))
    np.testing.assert_allclose([line.intercepts[0], line.slopes[0, 0]], [intercept, slope], rtol=1e-12)


MODELS = {
    "own": {},
    "common": {"expert": Gaussian(variance="common")},
    "families": {"expert": ("gaussian",) * 3},
    "held": {"fixed": {"expert.variances": [0.1, 1.0, 2.0], "gate.slopes": 0.0}},
}


@pytest.mark.parametrize("settings", MODELS)
@pytest.mark.parametrize("rows", ["ordinary", "all the same", "repeated", "fewer than coefficients"])
def test_every_start_is_admissible_and_has_a_finite_likelihood(settings, rows):
    problem = problem_of(ms.MixtureOfExperts(n_experts=3, **MODELS[settings]), *HARD_ROWS[rows])
    for start in make_starts(problem, TURN, 1):
        np.testing.assert_array_equal(problem.admit(start.theta), start.theta)
        assert np.isfinite(problem.passes.loglik(start.theta))


def test_every_start_for_classes_has_a_finite_likelihood():
    problem = sample(4, expert="multinomial").problem
    for start in make_starts(problem, TURN, 1):
        assert np.isfinite(problem.passes.loglik(start.theta))


def test_no_two_experts_start_alike():
    """From equal experts EM never gets anywhere."""
    problem = sample(3).problem
    places = problem.layout.index("expert.slopes")
    for start in make_starts(problem, TURN, 2):
        slopes = start.theta[places][:, 0]
        assert np.diff(np.sort(slopes)).min() > 1e-6


def test_lines_start_from_the_rows_that_are_theirs():
    """Given the true memberships, a start is the two regressions, and the gate has their shares."""
    rows = sample(2)
    side = rows.X[:, 0] > 0.3
    problem = rows.problem
    source = problem.passes.source
    sketch = source.sketch(SKETCH_ROWS, np.random.default_rng(0))
    theta = start_from(problem, sketch, np.stack([~side, side]).astype(float))
    params = rows.model.from_theta(theta, source.schema, source.coordinates)
    for k, mine in enumerate((~side, side)):
        slope, intercept = np.polyfit(rows.X[mine, 0], rows.y[mine], 1)
        got = params.expert.intercepts[k], params.expert.slopes[k, 0]
        np.testing.assert_allclose(got, [intercept, slope], rtol=1e-10)
    shares = np.exp(params.gate.intercepts - np.logaddexp.reduce(params.gate.intercepts))
    np.testing.assert_allclose(shares, [1 - side.mean(), side.mean()], rtol=1e-12)
    np.testing.assert_array_equal(params.gate.slopes, 0.0)


def test_starts_weigh_the_rows():
    """Rows of next to no weight tilt no line, though random labels give them to either expert."""
    x, heavy = normal(60), np.arange(60) < 30
    y = np.where(heavy, 1 + 2 * x, 50 - 7 * x) + 0.01 * normal(60, seed=1)
    problem = problem_of(ms.MixtureOfExperts(), x, y, None, np.where(heavy, 1.0, 1e-9))
    source = problem.passes.source
    start = next(start for start in make_starts(problem, TURN, 0) if start.family == "soft_labels")
    expert = ms.MixtureOfExperts().from_theta(start.theta, source.schema, source.coordinates).expert
    np.testing.assert_allclose(expert.slopes[:, 0], 2.0, atol=0.05)
    np.testing.assert_allclose(expert.intercepts, 1.0, atol=0.05)


def test_free_parameters_start_from_what_the_held_ones_leave():
    """With the intercept held, the slope of the line through it, not of the line that ignores it."""
    x, y = 100 + sample(2).X[:, 0], sample(2).y
    model = ms.MixtureOfExperts(n_experts=1, fixed={"expert.intercepts": 5.0})
    problem = problem_of(model, x, y)
    source = problem.passes.source
    (start,) = make_starts(problem, 1, 0)
    slope = model.from_theta(start.theta, source.schema, source.coordinates).expert.slopes[0, 0]
    assert slope == pytest.approx(x @ (y - 5) / (x @ x), abs=0.01 * y.std() / 100)  # a few steps, not a fit


def test_starts_of_many_rows_are_made_from_a_sketch():
    """Not one pass over the rows, however many there are."""
    problem = problem_of(ms.MixtureOfExperts(), normal(SKETCH_ROWS + 500, 1), normal(SKETCH_ROWS + 500, seed=1))

    def no_pass():
        raise AssertionError("a start passed over the rows")

    problem.passes.source.blocks = no_pass
    assert len(make_starts(problem, TURN, 0)) == TURN
