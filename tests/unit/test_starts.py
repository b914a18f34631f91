"""Starting values: reproducible, admissible, and of many kinds."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import pytest

import moestat as ms
from moestat import gates
from moestat.component import Dims
from moestat.data import Block
from moestat.errors import InputError
from moestat.experts import Gaussian
from moestat.sketch import random_rows, sketch
from moestat.starts import (
    CATEGORICAL_FAMILIES,
    FAMILIES,
    SKETCH_ROWS,
    NearTruth,
    StartLaw,
    lost_experts,
    reseed,
    start_from,
)
from moestat.starts.families import cells, clusters
from tests.unit.draws import normal
from tests.unit.samples import problem_of, sample

each_family = pytest.mark.parametrize("family", FAMILIES)

TURN = len(FAMILIES)


def make_starts(problem, n_starts, seed, families=None):
    return list(islice(StartLaw.of(problem, seed, families), n_starts))


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

    def goes_with_the_first(weight):
        rows = block(x, np.zeros(4), weight=np.array(weight))
        seeds = (s for s in range(20_000) if set(random_rows(rows, 2, np.random.default_rng(s))) == {0, 3})
        own = clusters(rows, 2, np.random.default_rng(next(seeds))).argmax(axis=0)
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
    assert not {"local_lines", "elemental", "clusters", "segmented_lines"} & set(CATEGORICAL_FAMILIES)


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
    drawn = sketch(source, SKETCH_ROWS, 0)
    first = source.coordinates.X.restore(drawn.X[1:].T)[:, 0] > 0.3
    theta = start_from(problem, drawn, np.stack([~first, first]).astype(float))
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
    """One pass over the rows makes the sketch, and no start makes another."""
    problem = problem_of(ms.MixtureOfExperts(), normal(SKETCH_ROWS + 500, 1), normal(SKETCH_ROWS + 500, seed=1))
    law = StartLaw.of(problem, 0)
    assert law.rows.weight.size == SKETCH_ROWS

    def no_pass():
        raise AssertionError("a start passed over the rows")

    problem.passes.source.blocks = no_pass
    assert len(list(islice(law, TURN))) == TURN


@pytest.mark.parametrize("wanted", ["lines", [], ["local_lines", "magic"]])
def test_unknown_families_are_refused_with_the_list(wanted):
    with pytest.raises(InputError, match=r"families must be a choice of \['local_lines', 'soft_labels'"):
        make_starts(sample(2).problem, 1, 0, wanted)


def test_families_can_be_chosen():
    starts = make_starts(sample(2).problem, 4, 0, ["cells", "elemental"])
    assert [start.family for start in starts] == ["cells", "elemental"] * 2


# ------------------------------------------------------------------------------------ equivariance
def same_starts(one, other):
    np.testing.assert_allclose(thetas(one), thetas(other), rtol=1e-9, atol=1e-9)


def test_starts_do_not_see_the_order_of_the_rows():
    rows, order = sample(3), np.random.default_rng(1).permutation(sample(3).y.size)
    shuffled = problem_of(rows.model, rows.X[order], rows.y[order])
    same_starts(make_starts(rows.problem, TURN, 4), make_starts(shuffled, TURN, 4))


def test_starts_do_not_tell_a_weight_from_a_repetition():
    rows = sample(3)
    times = np.random.default_rng(2).integers(1, 4, size=rows.y.size)
    weighted = problem_of(rows.model, rows.X, rows.y, None, times.astype(float))
    repeated = problem_of(rows.model, np.repeat(rows.X, times, axis=0), np.repeat(rows.y, times))
    same_starts(make_starts(weighted, TURN, 4), make_starts(repeated, TURN, 4))


# ------------------------------------------------------------------------------------ an expert that lost its rows
def test_a_lost_expert_is_placed_where_the_others_do_badly():
    """Two clouds; one expert sits far from both, the other covers one: the lost one is sent to the second."""
    side = np.arange(80) >= 40
    x = np.linspace(0, 1, 80)
    y = np.where(side, 30.0, 0.0) + 0.1 * normal(80, seed=1)
    model = ms.MixtureOfExperts()
    problem = problem_of(model, x, y, np.empty((80, 0)))
    source = problem.passes.source
    expert = {"slopes": [[0.0], [0.0]], "intercepts": [0.0, 1e6], "variances": [0.1, 0.1]}
    bad = model.params(gate={"slopes": np.empty((2, 0)), "intercepts": [0.0, 0.0]}, expert=expert)
    theta = model.to_theta(bad, source.schema, source.coordinates)
    (lost,) = lost_experts(problem, theta)
    assert lost == 1
    moved = reseed(problem, sketch(source, SKETCH_ROWS, 0), theta, np.array([lost]), np.random.default_rng(0))
    found = model.from_theta(moved, source.schema, source.coordinates)
    assert found.expert.intercepts[0] == pytest.approx(0.0, abs=1e-9)  # the other keeps its place
    middle = found.expert.intercepts[1] + 0.75 * found.expert.slopes[1, 0]
    assert middle == pytest.approx(30.0, abs=1.0)
    assert not lost_experts(problem, moved).size


# ------------------------------------------------------------------------------------ near the truth
def near(model, truth, seed=0, n_rows=1000, **settings):
    return NearTruth(**settings).draw(model, truth, n_rows, np.random.default_rng(seed))


def test_without_noise_every_true_expert_is_copied():
    truth = sample(2).truth
    for seed in range(20):
        drawn = near(ms.MixtureOfExperts(n_experts=3), truth, seed, sd=0.0)
        pairs = set(zip(drawn.expert.intercepts, drawn.expert.slopes[:, 0], drawn.gate.slopes[:, 0], strict=True))
        assert pairs == set(
            zip(truth.expert.intercepts, truth.expert.slopes[:, 0], truth.gate.slopes[:, 0], strict=True)
        )


def test_copies_that_split_their_mass_have_the_density_of_the_truth():
    rows = sample(2)
    model = ms.MixtureOfExperts(n_experts=3)
    split, whole = (near(model, rows.truth, 3, sd=0.0, split_mass=split) for split in (True, False))
    truth = rows.model.log_density(rows.truth, rows.X, rows.y)
    np.testing.assert_allclose(model.log_density(split, rows.X, rows.y), truth, rtol=1e-12)
    assert np.abs(model.log_density(whole, rows.X, rows.y) - truth).max() > 1e-3


def drawn_truth(gate, n_experts, d=2):
    """A model and parameters drawn for it, experts far apart."""
    model = ms.MixtureOfExperts(gate=gate, n_experts=n_experts)
    rng = np.random.default_rng(7)
    layout = model.gate.layout(Dims(n_experts, d))
    expert = {"intercepts": np.arange(n_experts), "slopes": rng.standard_normal((n_experts, d))}
    theta = 0.7 * rng.standard_normal(layout.size)
    return model, model.params(gate=layout.unpack(theta), expert={**expert, "variances": np.ones(n_experts)})


TREE = gates.Hierarchical(gates.Softmax(), gates.Softmax(), groups=(2, 2))
#: the true gate, the fitted one, and how many experts they have
NESTED = {
    "softmax-softmax": (TREE, replace(TREE, groups=(3, 4)), 4, 7),
    "a group of one": (replace(TREE, groups=(1, 2)), replace(TREE, groups=(3, 2)), 3, 5),
    "softmax-temperature": (
        gates.Hierarchical(inner=gates.Temperature()),
        gates.Hierarchical(inner=gates.Temperature()),
        4,
        6,
    ),
    "three levels": (
        gates.Hierarchical(inner=TREE, groups=(4, 4)),
        gates.Hierarchical(inner=(replace(TREE, groups=(2, 3)), TREE), groups=(5, 4)),
        8,
        9,
    ),
    "temperature": (gates.Temperature(), gates.Temperature(), 2, 5),
    "held temperature": (gates.Temperature(tau=0.3), gates.Temperature(tau=0.3), 2, 5),
    "activation": (gates.Activation(), gates.Activation(), 2, 4),
    "warm activation": (
        gates.Temperature(gates.Activation(tau=0.6)),
        gates.Temperature(gates.Activation(tau=0.6)),
        2,
        4,
    ),
    "tree of laplace": (
        gates.Hierarchical(gates.Laplace(), gates.Laplace(), groups=(2, 2)),
        gates.Hierarchical(gates.Laplace(), gates.Laplace(), groups=(2, 3)),
        4,
        5,
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_copies_under_a_nested_gate_have_the_density_of_the_truth(name):
    """Mass is shared group by group, and under a temperature in units of it."""
    gate, larger, n_true, n_experts = NESTED[name]
    true_model, truth = drawn_truth(gate, n_true)
    model = ms.MixtureOfExperts(gate=larger, n_experts=n_experts)
    X, y = normal(60, 2, seed=8), 3.0 * normal(60, seed=9)
    for seed in range(5):
        law, rng = NearTruth(sd=0.0, split_mass=True), np.random.default_rng(seed)
        split = law.draw(model, truth, 100, rng, true_model)
        assert set(split.expert.intercepts) == set(truth.expert.intercepts)
        np.testing.assert_allclose(
            model.log_density(split, X, y), true_model.log_density(truth, X, y), rtol=1e-10, err_msg=name
        )


@pytest.mark.parametrize("gate", [TREE, gates.AdaptiveTemperature(), gates.Temperature(depends_on="covariates")])
def test_with_as_many_experts_a_start_without_noise_is_the_truth(gate):
    """But for labels, which within groups are drawn."""
    model, truth = drawn_truth(gate, 4)
    start = near(model, truth, 3, sd=0.0)
    X, y = normal(60, 2, seed=8), 3.0 * normal(60, seed=9)
    np.testing.assert_allclose(model.log_density(start, X, y), model.log_density(truth, X, y), rtol=1e-10)


def test_noise_may_be_stated_level_by_level():
    """The longest name that a field begins with counts."""
    model, truth = drawn_truth(TREE, 4)
    start = near(model, truth, 3, sd={"gate": 0.0, "gate.outer": 0.5, "gate.outer.slopes": 0.0})
    np.testing.assert_array_equal(start.gate.outer.slopes, truth.gate.outer.slopes)
    assert (start.gate.outer.intercepts != truth.gate.outer.intercepts).all()
    of_truth, drawn = ({tuple(row) for row in at.gate.group.members[0].slopes} for at in (truth, start))
    assert drawn == of_truth


@pytest.mark.parametrize(
    ("gate", "n_experts", "message"),
    [
        (replace(TREE, groups=(1, 4)), 5, r"groups of \[1, 4\] experts cannot copy those of \[2, 2\]"),
        (replace(TREE, groups=(2, 2, 1)), 5, r"as many groups are needed, none of them smaller"),
    ],
)
def test_groups_that_cannot_copy_are_refused(gate, n_experts, message):
    true_model, truth = drawn_truth(TREE, 4)
    with pytest.raises(InputError, match=message):
        NearTruth().draw(
            ms.MixtureOfExperts(gate=gate, n_experts=n_experts), truth, 10, np.random.default_rng(0), true_model
        )


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (gates.AdaptiveTemperature(), "more experts change all weights"),
        (gates.Temperature(depends_on="covariates"), "no intercept makes up for them"),
        (gates.Gaussian(likelihood="joint"), "it has no intercepts"),
        (gates.Sigmoid(), "its scores are bent"),
        (gates.Temperature(gates.Hierarchical()), "groups are normalised before it"),
    ],
)
def test_gates_that_cannot_share_mass_say_so(gate, message):
    _, truth = drawn_truth(gate, 2)
    with pytest.raises(InputError, match=message):
        near(ms.MixtureOfExperts(gate=gate, n_experts=3), truth, 0, split_mass=True)


def test_the_noise_has_the_stated_law():
    """sd n^-exponent in each field's own units, on the logarithm of variances; nothing where nothing is named."""
    truth, model = sample(2).truth, ms.MixtureOfExperts(n_experts=2)
    law = {"sd": {"gate": 0.2, "expert": 0.1, "expert.variances": 0.3}, "exponent": 0.5}
    drawn = [near(model, truth, seed, n_rows=4, **law) for seed in range(600)]

    def spread(values, true):
        # either order of the two experts
        return np.std([v - true[np.abs(true - v[0]).argmin()] for v in values])

    for got, true, sd in (
        ([d.expert.slopes[:1, 0] for d in drawn], truth.expert.slopes[:, 0], 0.05),
        ([np.log(d.expert.variances[:1]) for d in drawn], np.log(truth.expert.variances), 0.15),
        ([d.gate.slopes[:1, 0] for d in drawn], truth.gate.slopes[:, 0], 0.1),
    ):
        if np.ptp(true) > 10 * sd:
            assert spread(got, true) == pytest.approx(sd, rel=0.15)
    quiet = near(model, truth, sd={"gate": 1.0})
    assert set(quiet.expert.intercepts) == set(truth.expert.intercepts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sd": -1.0}, "sd must be standard deviations of at least 0; got -1.0"),
        ({"sd": {"gates": 1.0}}, r"sd names the unknown fields \['gates'\]; known are"),
        ({"exponent": np.inf}, "exponent must be a finite number; got inf"),
    ],
)
def test_laws_that_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        near(ms.MixtureOfExperts(n_experts=2), sample(2).truth, **settings)


def test_a_truth_with_more_experts_than_the_model_is_refused():
    with pytest.raises(InputError, match="the truth has 3 experts, more than the 2 of the model"):
        near(ms.MixtureOfExperts(n_experts=2), sample(3).truth)


def test_a_fit_can_start_near_the_truth_and_from_data_as_well():
    rows = sample(2)
    starts = [near(rows.model, rows.truth, seed) for seed in range(3)]
    results = ms.fit(rows.model, rows.X, rows.y, start=starts, n_starts=2)
    assert list(results.starts.family) == ["given"] * 3 + list(FAMILIES)[:2]
    assert results.certificate.trusted


def test_noise_of_one_size_needs_no_parameters_of_the_gate():
    model = ms.MixtureOfExperts(gate="constant(weights=[0.3, 0.7])", n_experts=2)
    truth = model.params(gate={}, expert={"intercepts": [1.0, -1.0], "slopes": [[1.0], [0.0]], "variances": [1.0, 1.0]})
    drawn = NearTruth(sd=0.1, exponent=0.0).draw(model, truth, 100, np.random.default_rng(0))
    assert 0.0 < np.abs(drawn.expert.intercepts - truth.expert.intercepts).max() < 0.5
