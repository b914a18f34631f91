"""Many fits at once: the same ends as the general way, whatever the model, and clear words for bad input."""

from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.bounds import check_bounds
from moestat.certificate import examine
from moestat.kernels.compile import tally
from moestat.representative import canonical
from moestat.solvers import EMThenNewton, Problem, solve
from simulations.solver.cases import benchmark_rows

STUDY = 12


def many_rows(n, count=STUDY, first=0):
    """Data sets of the benchmark: X and y (count, n)."""
    X, y = zip(*(benchmark_rows(first + i, n) for i in range(count)), strict=True)
    return np.array(X), np.array(y)


def two_lines(model, noise=0.0, seed=0):
    """Parameters near the truth of the benchmark; further experts lie between the two."""
    rng, K = np.random.default_rng(seed), model.n_experts
    slopes, intercepts = np.array([-20.0, 20.0]), np.array([15.0, -5.0])
    share = np.concatenate([[0.0, 1.0], rng.uniform(size=K - 2)])
    line = slopes[0] + share * (slopes[1] - slopes[0]), intercepts[0] + share * (intercepts[1] - intercepts[0])
    return model.params(
        gate={"slopes": (25.0 * (1 - share))[:, None], "intercepts": -8.0 * (1 - share)},
        expert={
            "slopes": line[0][:, None] + noise * rng.standard_normal((K, 1)),
            "intercepts": line[1] + noise * rng.standard_normal(K),
            "variances": np.full(K, 0.12 + 0.5 * (K > 2)),
        },
    )


def by_the_general_way(model, X, y, start, Z=None, bounds=None, **known):
    """Parameters, log-likelihood and status of one data set, from one start."""
    source = model.prepare(model.data(X, y, Z, **known), bounded=tuple(bounds or {}))
    problem = Problem.of(model, source, check_bounds(model, source.schema, bounds))
    theta = model.to_theta(start, source.schema, source.coordinates)
    theta = canonical(problem, solve(problem, EMThenNewton(), theta).theta)
    optimum, _ = examine(problem, theta, model.names(source.schema), problem.shift)
    params = model.layout(source.schema).pack(model.from_theta(theta, source.schema, source.coordinates))
    return params, optimum


def assert_same(ends, number, params, optimum, rtol=1e-6):
    assert ends.status[number, 0] is optimum.status
    assert ends.loglik[number, 0] == pytest.approx(optimum.loglik, abs=1e-7)
    if optimum.status in (ms.Status.STRICT_MAXIMUM, ms.Status.AT_BOUND):
        scale = 1.0 + np.abs(params).max()
        np.testing.assert_allclose(ends.theta[number, 0], params, atol=rtol * scale)
        assert ends.smallest_eigenvalue[number, 0] == pytest.approx(optimum.eigenvalues[0], rel=1e-3)
        np.testing.assert_allclose(ends.mass[number, 0], optimum.masses, rtol=1e-5, atol=1e-6)
        assert ends.gradient[number, 0] <= 1e-8


@pytest.mark.parametrize(("K", "n"), [(2, 60), (2, 300), (2, 5000), (3, 100), (3, 1000)])
def test_ends_are_those_of_the_general_way(K, n):
    """Same kind of point, likelihood, parameters, eigenvalue and masses."""
    model = ms.MixtureOfExperts(n_experts=K)
    X, y = many_rows(n)
    start = two_lines(model, noise=0.05)
    ends = ms.prepare(model, X[0], y[0]).fit_many(X, y, start=start)
    for i in range(STUDY):
        params, optimum = by_the_general_way(model, X[i], y[i], start)
        if optimum.status is not ms.Status.RUNAWAY:
            assert_same(ends, i, params, optimum)
        else:
            assert ends.status[i, 0] is ms.Status.RUNAWAY
    assert ends.compiled.mean() > 0.8


def random_rows(n, d, e, seed=0):
    rng = np.random.default_rng(seed)
    X, Z = rng.normal(3.0, 2.0, (n, d)), rng.normal(-1.0, 0.5, (n, e))
    first = rng.random(n) < 1 / (1 + np.exp(-3.0 * (Z[:, 0] + 1.0)))
    y = np.where(first, 40.0 + 3.0 * X[:, 0], 10.0 - 2.0 * X[:, -1]) + rng.normal(size=n)
    return X, y, Z


@pytest.mark.parametrize("d", [0, 2])
def test_data_without_covariates(d):
    """Logits and means that are the same in all rows."""
    model = ms.MixtureOfExperts(n_experts=2)
    rng = np.random.default_rng(3)
    X = rng.standard_normal((400, d))
    y = np.where(rng.random(400) < 0.4, 3.0 + X.sum(axis=1), -X.sum(axis=1)) + 0.5 * rng.standard_normal(400)
    start = model.params(
        gate={"intercepts": [-0.4, 0.0], "slopes": np.zeros((2, d))},
        expert={"slopes": np.outer([1.0, -1.0], np.ones(d)), "intercepts": [3.0, 0.0], "variances": [0.3, 0.3]},
    )
    ends = ms.prepare(model, X, y).fit_many(X[None], y[None], start=start)
    params, optimum = by_the_general_way(model, X, y, start)
    assert ends.compiled.all()
    assert_same(ends, 0, params, optimum)


@pytest.mark.parametrize("variance", ["own", "common"])
@pytest.mark.parametrize("separate", [False, True])
def test_covariates_weights_offsets_and_variances(variance, separate):
    """Several covariates, other ones for the gate, frequencies, an offset, and one variance for all."""
    model = ms.MixtureOfExperts(expert=ms.experts.Gaussian(variance=variance), n_experts=2)
    X, y, Z = random_rows(400, 2, 2)
    rng = np.random.default_rng(1)
    weight, offset = rng.integers(1, 4, 400).astype(float), rng.normal(size=400)
    gate = Z if separate else None
    spread = {"variances": [2.0, 2.0]} if variance == "own" else {"variance": 2.0}
    start = model.params(
        gate={"slopes": [[2.0, 0.0], [0.0, 0.0]], "intercepts": [2.0, 0.0]},
        expert={"slopes": [[3.0, 0.0], [0.0, -2.0]], "intercepts": [40.0, 10.0], **spread},
    )
    known = {"sample_weight": weight, "offset": offset}
    prepared = ms.prepare(model, X, y, gate)
    ends = prepared.fit_many(X[None], y[None], None if gate is None else gate[None], start=start, **known)
    params, optimum = by_the_general_way(model, X, y, start, gate, **known)
    assert ends.compiled.all()
    assert_same(ends, 0, params, optimum)


@pytest.mark.parametrize(
    ("bounds", "fixed"),
    [
        ({"gate.slopes": 12.0}, None),
        ({"expert.variances": (0.2, 9.0)}, None),
        ({"expert.slopes": 18.0}, None),
        (None, {"expert.variances": [0.09, 0.16]}),
        (None, {"gate.slopes": 0.0}),
    ],
)
def test_boxes_and_held_fields(bounds, fixed):
    """What is bounded ends at the same point of the box, what is held stays."""
    model = ms.MixtureOfExperts(n_experts=2, fixed=fixed)
    X, y = many_rows(300, 4)
    start = two_lines(ms.MixtureOfExperts(n_experts=2))
    inside = model.params(
        gate={
            "slopes": np.clip(start.gate.slopes, -12, 12) if fixed is None else start.gate.slopes * 0.0,
            "intercepts": start.gate.intercepts * 0.4,
        },
        expert={
            "slopes": np.clip(start.expert.slopes, -18, 18),
            "intercepts": start.expert.intercepts,
            "variances": [0.3, 0.3],
        },
    )
    ends = ms.prepare(model, X[0], y[0], bounds=bounds).fit_many(X, y, start=inside)
    for i in range(len(X)):
        params, optimum = by_the_general_way(model, X[i], y[i], inside, bounds=bounds)
        assert_same(ends, i, params, optimum)


def test_class_labels():
    """Multinomial experts of three classes."""
    rng = np.random.default_rng(0)
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=2)
    truth = model.params(
        gate={"slopes": [[3.0], [0.0]], "intercepts": [0.0, 0.0]},
        expert={"slopes": [[[2.0], [-1.0]], [[-2.0], [1.0]]], "intercepts": [[0.0, 1.0], [0.5, -0.5]]},
    )
    X = rng.normal(size=(5, 800))
    codes = [model.sample(truth, x[:, None], rng) for x in X]
    y = np.array([np.array(["a", "b", "c"])[np.asarray(c, dtype=int)] for c in codes])
    ends = ms.prepare(model, X[0], y[0]).fit_many(X, y, start=truth)
    assert ends.compiled.any()
    for i in range(len(X)):
        params, optimum = by_the_general_way(model, X[i], y[i], truth)
        if optimum.status.trusted:
            assert_same(ends, i, params, optimum, rtol=1e-5)


def test_a_fit_knows_nothing_of_the_others():
    """The same bits alone, in company, in another order, and from one of several starts."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y = many_rows(200)
    prepared, start = ms.prepare(model, X[0], y[0]), two_lines(model)
    together = prepared.fit_many(X, y, start=[two_lines(model, 0.3, 1), start])
    backwards = prepared.fit_many(X[::-1], y[::-1], start=start)
    for i in (0, 5, STUDY - 1):
        alone = prepared.fit(X[i], y[i], start=start)
        assert alone.loglik == together.loglik[i, 1] == backwards.loglik[STUDY - 1 - i, 0]
        np.testing.assert_array_equal(together.theta[i, 1], backwards.theta[STUDY - 1 - i, 0])
        np.testing.assert_array_equal(model.layout(prepared.schema).pack(alone.params), together.theta[i, 1])


def test_covariates_that_all_data_sets_share():
    """One design for all is the same as a copy of it for each."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y = many_rows(200, 3)
    y = y + 0.0 * X
    prepared, start = ms.prepare(model, X[0], y[0]), two_lines(model)
    one = prepared.fit_many(X[0][:, None], y[:1].repeat(3, axis=0), start=start)
    np.testing.assert_array_equal(one.theta[0], one.theta[2])
    np.testing.assert_array_equal(one.theta[0], prepared.fit_many(X, y, start=start).theta[0])


def test_models_without_a_compiled_form_take_the_general_way():
    """Other gates and families end as `moestat.fit` ends from the same start."""
    model = ms.MixtureOfExperts(gate="softmax(transform='tanh')", n_experts=2)
    X, y = many_rows(150, 2)
    prepared, start = ms.prepare(model, X[0], y[0]), two_lines(model)
    ends = prepared.fit_many(X, y, start=start)
    assert not prepared.compiled
    assert not ends.compiled.any()
    for i in range(2):
        params, optimum = by_the_general_way(model, X[i], y[i], start)
        assert_same(ends, i, params, optimum)


def test_irregular_data_are_left_to_the_general_way():
    """Covariates that are nearly collinear, and a constant one, get its care."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y, _ = random_rows(200, 2, 1)
    twins, constant = X.copy(), X.copy()
    twins[:, 1] = X[:, 0] + 1e-4 * X[:, 1]
    constant[:, 1] = 7.0
    sets = np.array([X, twins, constant])
    start = model.params(
        gate={"slopes": [[0.5, 0.0], [0.0, 0.0]], "intercepts": [0.0, 0.0]},
        expert={"slopes": [[3.0, 0.0], [0.0, -2.0]], "intercepts": [40.0, 10.0], "variances": [9.0, 9.0]},
    )
    ends = ms.prepare(model, X, y).fit_many(sets, np.array([y] * 3), start=start)
    assert ends.compiled[:, 0].tolist() == [True, False, False]
    params, optimum = by_the_general_way(model, twins, y, start)
    assert_same(ends, 1, params, optimum)


def test_results_of_an_end_are_those_of_a_fit():
    """Standard errors and all the rest, from where a fit ended."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y = many_rows(300, 1)
    prepared = ms.prepare(model, X[0], y[0])
    end = prepared.fit(X[0], y[0], start=two_lines(model))
    results = prepared.results(X[0], y[0], end=end)
    assert results.certificate.status is end.status
    assert results.certificate.loglik == pytest.approx(end.loglik, abs=1e-8)
    np.testing.assert_allclose(results.params.expert.slopes, end.params.expert.slopes, rtol=1e-7)


def test_a_table_of_all_fits():
    """One row per data set, with names and natural units."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y = many_rows(200, 3)
    ends = ms.prepare(model, X[0], y[0]).fit_many(X, y, start=[two_lines(model), two_lines(model, 0.2)])
    table = ends.to_frame()
    assert len(table) == 3
    assert (table["expert[1].variance"] < 1.0).all()
    assert table["loglik"].tolist() == ends.loglik.max(axis=1).tolist()
    assert ends.params(1).expert.variances[0] == pytest.approx(table["expert[1].variance"][1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, y, s: (X, y[0], s), "y must have shape"),
        (lambda X, y, s: (X[:, :-1], y, s), "X must have shape"),
        (lambda X, y, s: (X, y, np.zeros(3)), "start must be parameters"),
        (lambda X, y, s: (X, y, np.full(10, np.nan)), "start must be finite"),
        (lambda X, y, s: (np.where(X[1, 3] == X, np.nan, X), y, s), "data set 1: X"),
    ],
)
def test_bad_input_is_named(change, words):
    """Shapes, starts and missing values; the message names the data set."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y = many_rows(50, 3)
    prepared = ms.prepare(model, X[0], y[0])
    X, y, start = change(X, y, two_lines(model))
    with pytest.raises(ms.InputError, match=words):
        prepared.fit_many(X, y, start=start)


# --------------------------------------------------------------------------------------- verdicts
def judged_again(ends, number, model, X, y, **known):
    """What the certificate says of the very parameters that are reported."""
    source = model.prepare(model.data(X, y, **known))
    problem = Problem.of(model, source)
    layout = model.layout(source.schema)
    theta = model.to_theta(layout.unpack(ends.theta[number, 0]), source.schema, source.coordinates)
    return examine(problem, theta, model.names(source.schema), problem.shift)[0]


def test_maxima_of_merged_experts_are_flat():
    """Where experts coincide the information is singular: a Hessian of a point nearby would not tell."""
    model = ms.MixtureOfExperts(expert=ms.experts.Gaussian(variance="common"), n_experts=3)
    kinds = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, y = np.empty((100, 0)), rng.normal(size=100)
        start = model.params(
            gate={"slopes": np.zeros((3, 0)), "intercepts": 0.3 * rng.normal(size=3)},
            expert={"slopes": np.zeros((3, 0)), "intercepts": 0.3 * rng.normal(size=3), "variance": 0.3},
        )
        ends = ms.prepare(model, X, y).fit_many(X[None], y[None], start=start)
        again = judged_again(ends, 0, model, X, y)
        kinds.append(ends.status[0, 0])
        assert ends.status[0, 0].trusted == again.status.trusted
    assert ms.Status.FLAT_MAXIMUM in kinds


def test_bounded_variances_make_no_spike():
    """A few rows far off are a spike, unless a bound keeps the variance from sinking."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 1)), rng.normal(size=60)
    y[:4] = 5.0 + 0.01 * rng.normal(size=4)
    model = ms.MixtureOfExperts(n_experts=2)
    start = model.params(
        gate={"slopes": [[0.0], [0.0]], "intercepts": [0.0, -2.5]},
        expert={"slopes": [[0.0], [0.0]], "intercepts": [0.0, 5.0], "variances": [1.0, 0.06]},
    )
    free = ms.prepare(model, X, y).fit(X, y, start=start)
    bounded = ms.prepare(model, X, y, bounds={"expert.variances": (0.05, 10.0)}).fit(X, y, start=start)
    assert free.status in (ms.Status.SPIKE, ms.Status.AT_FLOOR)
    assert bounded.status is ms.Status.AT_BOUND


@pytest.mark.parametrize("weighted", [False, True])
def test_far_starts_on_many_rows_end_where_the_general_way_ends(weighted):
    """A sample is followed from nearby alone; unequal weights have none."""
    model, n = ms.MixtureOfExperts(n_experts=2), 4001
    same = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, 2))
        y = np.where(rng.random(n) < 0.5, X[:, 0], 2.0 - X[:, 1]) + 0.5 * rng.normal(size=n)
        known = {"sample_weight": rng.exponential(size=n) ** 2} if weighted else {}
        start = model.params(
            gate={"slopes": rng.normal(size=(2, 2)), "intercepts": rng.normal(size=2)},
            expert={"slopes": 2 * rng.normal(size=(2, 2)), "intercepts": rng.normal(size=2), "variances": [1.0, 1.0]},
        )
        ends = ms.prepare(model, X, y).fit_many(X[None], y[None], start=start, **known)
        _, optimum = by_the_general_way(model, X, y, start, **known)
        near = abs(ends.loglik[0, 0] - optimum.loglik) < 1e-6 or optimum.status is ms.Status.RUNAWAY
        same += ends.status[0, 0] is optimum.status and near
    assert same >= 9


# --------------------------------------------------------------------------------------- input
def _fitted_elsewhere(prepared, X, y, start):
    return prepared.fit(X, y, start=start).loglik


def test_a_prepared_model_goes_to_other_processes():
    """Pickled by its model: addresses of compiled code are of one process."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y = many_rows(100, 1)
    prepared, start = ms.prepare(model, X[0], y[0]), two_lines(model)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(_fitted_elsewhere, prepared, X[0], y[0], start).result(timeout=300)
    assert there == prepared.fit(X[0], y[0], start=start).loglik


def test_layouts_compile_nothing_new():
    """Read-only, Fortran-ordered, integer and single-precision arrays, and data frames by their columns' names."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y, _ = random_rows(200, 2, 1)
    X, y = np.round(X), np.round(y)
    start = model.params(
        gate={"slopes": [[0.5, 0.0], [0.0, 0.0]], "intercepts": [0.0, 0.0]},
        expert={"slopes": [[3.0, 0.0], [0.0, -2.0]], "intercepts": [40.0, 10.0], "variances": [9.0, 9.0]},
    )
    frame = pd.DataFrame(X, columns=["a", "b"])
    prepared = ms.prepare(model, frame, y)
    end, before = prepared.fit(X, y, start=start), tally()
    held = y.copy()
    held.setflags(write=False)
    for columns, response in (
        (np.asfortranarray(X), held),
        (X.astype(np.float32), y.astype(int)),
        (X[::1].tolist(), y.tolist()),
        (frame[["b", "a"]], pd.Series(y)),
    ):
        again = prepared.fit(columns, response, start=start)
        np.testing.assert_array_equal(again.params.expert.slopes, end.params.expert.slopes)
    assert tally().compiled == before.compiled
    with pytest.raises(ms.InputError, match="must have the columns"):
        prepared.fit(frame.rename(columns={"a": "c"}), y, start=start)


def test_no_covariates_and_absent_classes():
    """X=None is a model without covariates; a data set may lack a class, also for results."""
    model = ms.MixtureOfExperts(n_experts=2)
    y = np.concatenate([np.random.default_rng(0).normal(size=50), 6 + np.random.default_rng(1).normal(size=50)])
    start = model.params(
        gate={"slopes": np.zeros((2, 0)), "intercepts": [0.0, 0.0]},
        expert={"slopes": np.zeros((2, 0)), "intercepts": [0.0, 6.0], "variances": [1.0, 1.0]},
    )
    assert ms.prepare(model, None, y).fit(None, y, start=start).status is ms.Status.STRICT_MAXIMUM
    labels = ms.MixtureOfExperts(expert="multinomial", n_experts=2)
    x, c = np.linspace(-1, 1, 90), np.repeat(["a", "b", "c"], 30)
    start = labels.params(
        gate={"slopes": [[1.0], [0.0]], "intercepts": [0.0, 0.0]},
        expert={"slopes": np.zeros((2, 2, 1)), "intercepts": [[0.0, 1.0], [1.0, 0.0]]},
    )
    prepared, two = ms.prepare(labels, x, c), np.tile(["a", "b"], 45)
    end = prepared.fit(x, two, start=start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert prepared.results(x, two, end=end).params.expert.intercepts.shape == (2, 2)
    with pytest.raises(ms.InputError, match="offset"):
        prepared.fit(x, two, start=start, offset=np.ones(90))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (1j * np.ones((1, 50)), "real numbers"),
        (np.ma.masked_array(np.ones((1, 50)), mask=False), "masked"),
        (np.full((1, 50), "3"), "numbers"),
        (1e200 * np.arange(50.0)[None], "double precision"),
    ],
)
def test_what_fits_refuse_is_refused(y, words):
    """Complex, masked, words, and numbers whose squares overflow."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, rows = many_rows(50, 1)
    with pytest.raises(ms.InputError, match=words):
        ms.prepare(model, X[0], rows[0]).fit_many(X, y, start=two_lines(model))


def test_one_bad_start_costs_nothing_else():
    """A start from which nothing can be computed is told as such; the others end as they would without it."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y = many_rows(100, 2)
    prepared, good = ms.prepare(model, X[0], y[0]), two_lines(model)
    packed = model.layout(prepared.schema).pack(good)
    bad = packed.copy()
    bad[model.layout(prepared.schema).index("expert.intercepts")[0]] = 1e200
    ends = prepared.fit_many(X, y, start=np.array([packed, bad]))
    np.testing.assert_array_equal(ends.theta[:, 0], prepared.fit_many(X, y, start=good).theta[:, 0])
    assert (ends.best == 0).all()


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_a_fit_does_not_hang_on_where_its_arrays_lie(seed):
    rng = np.random.default_rng(seed)
    two, model = ms.MixtureOfExperts(n_experts=2), ms.MixtureOfExperts(n_experts=3)
    truth = two.params(
        gate={"slopes": [[0.5], [-0.5]], "intercepts": [0.0, 0.0]},
        expert={"slopes": [[0.5], [-0.5]], "intercepts": [1.5, -1.5], "variances": [1.0, 0.64]},
    )
    X = rng.standard_normal((316, 1))
    y = two.sample(truth, X, rng)
    bounds = {"gate.slopes": 2.0, "gate.intercepts": 1.5, "expert.slopes": 3.0, "expert.intercepts": 4.0}
    prepared = ms.prepare(model, X, y, bounds=bounds | {"expert.variances": (0.09, 4.0)})
    layout, near = model.layout(prepared.schema), ms.starts.NearTruth(sd=0.05, exponent=0.0, split_mass=True)
    starts = np.array([layout.pack(near.draw(model, truth, 316, rng)) for _ in range(10)])
    again = np.tile(np.clip(starts, *prepared.box), (40, 1))  # each 40 times, in other memory
    ends = prepared.fit_many(X[None], y[None], start=again)
    theta = ends.theta[0].reshape(40, 10, -1)
    assert (theta == theta[:1]).all()
