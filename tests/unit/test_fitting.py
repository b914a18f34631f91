"""The front door: what it refuses, what it repeats, and which changes of the rows it does not notice."""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat import search
from moestat.data import Affine, Block, BlockSource, Coordinates, Data, Schema
from moestat.errors import ConvergenceWarning, InputError
from moestat.solvers import EM, EMThenNewton
from tests.unit.draws import normal
from tests.unit.samples import sample

N = 200

#: two fits of the same maximum, from different starts or sums in another order, agree to this
SAME_FIT = 1e-8


def rows():
    return sample(2, n=N)


@cache
def reference():
    return ms.fit(rows().model, rows().X, rows().y, n_starts=6)


def assert_same_fit(results, other):
    """The same maximum: likelihood, curve and parameters, experts in their canonical order."""
    assert results.certificate.status is other.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.llf == pytest.approx(other.llf, rel=SAME_FIT)
    one, two = results.estimates, other.estimates
    assert list(one.index) == list(two.index)
    np.testing.assert_allclose(one, two, rtol=SAME_FIT, atol=SAME_FIT)


# ------------------------------------------------------------------------------------ refusals
def inputs(**changes):
    return {"model": rows().model, "X": rows().X, "y": rows().y, **changes}


CLASSES = ms.MixtureOfExperts(expert="multinomial")
THREE = ms.MixtureOfExperts(n_experts=3)
LABELS = np.array(["a", "b"])[np.arange(N) % 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "softmax"}, "model must be a MixtureOfExperts; got str"),
        ({"y": None}, "y is needed: pass the response after X, or a block source that holds both"),
        ({"X": Data(normal(N), normal(N))}, "y must be left out when X is a block source, which holds them"),
        (
            {"X": Data(normal(N), normal(N)), "y": None, "Z": normal(N), "sample_weight": np.ones(N)},
            "Z, sample_weight must be left out when X is a block source",
        ),
        ({"n_starts": 0}, "n_starts must be a whole number of at least 1, or 'auto'; got 0"),
        ({"n_starts": 2.0}, r"n_starts must be a whole number of at least 1, or 'auto'; got 2\.0"),
        ({"n_starts": True}, "n_starts must be a whole number of at least 1, or 'auto'; got True"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        ({"seed": "one"}, "seed must be a whole number of at least 0; got 'one'"),
        ({"seed": None}, "seed must be a whole number of at least 0; got None"),
        (
            {"start": {"gate": {}}},
            r"start must be parameters made by model\.params\(\.\.\.\), or a list of them; got dict",
        ),
        ({"start": sample(3).truth}, r"gate\.intercepts must have shape \(2,\) \(expert=2\); got \(3,\)"),
        ({"solver": "adam"}, r"classification_em.*got 'adam'"),
        ({"solver": EM}, r"solver must be one of moestat\.solvers, such as EM\(max_iter=100\), or a name of"),
        (
            {"model": THREE, "X": rows().X[:2], "y": rows().y[:2]},
            "only 2 distinct rows, fewer than n_experts=3. Ask for fewer experts or bring more rows",
        ),
        (
            {"model": THREE, "X": np.ones(N), "y": np.arange(N) % 2},
            "only 2 distinct rows, fewer than n_experts=3",
        ),
        ({"X": np.ones(N), "y": np.ones(N)}, "only 1 distinct row, fewer than n_experts=2"),
        ({"model": CLASSES, "y": ["a"] * N}, "y must hold at least two classes .*; got only one class: 'a'"),
        ({"model": CLASSES, "y": LABELS, "offset": np.ones(N)}, "the multinomial expert takes no offset. Enter"),
        ({"exposure": np.ones(N)}, "the gaussian expert takes no exposure; it has no log link. Use offset"),
        ({"y": np.column_stack([rows().y, rows().y])}, "the gaussian expert models one response; got 2 columns in y"),
        (
            {"X": Data(normal(N), LABELS, categorical=True), "y": None},
            r"the gaussian expert needs a response of numbers \(categorical=False\); got Data",
        ),
        ({"model": CLASSES, "X": Data(normal(N), normal(N)), "y": None}, "needs a response of class labels"),
        ({"X": np.where(np.arange(N) == 7, np.nan, 1.0)}, "X must be finite; got nan in row 7"),
        ({"y": rows().y[1:]}, f"y must have as many rows as the other inputs, {N}; got {N - 1}"),
        ({"sample_weight": -np.ones(N)}, r"sample_weight must not be negative; got -1\.0 in row 0"),
    ],
)
def test_inputs_that_are_refused(changes, message):
    """By an error that names the argument, the value, the rule and, where there is one, the way out."""
    with pytest.raises(InputError, match=message):
        ms.fit(**inputs(**changes))


# ------------------------------------------------------------------------------------ repetition
def test_the_same_seed_gives_the_same_numbers():
    one, same, other = (ms.fit(rows().model, rows().X, rows().y, n_starts=3, seed=s) for s in (4, 4, 5))
    assert one.llf == same.llf
    np.testing.assert_array_equal(one.theta, same.theta)
    assert one.starts.equals(same.starts)
    assert not one.starts.loglik_short.equals(other.starts.loglik_short)


def test_the_seed_does_not_matter_at_the_maximum():
    assert_same_fit(ms.fit(rows().model, rows().X, rows().y, n_starts=6, seed=11), reference())


def test_twenty_starts_and_seed_zero_are_the_defaults():
    defaults = {name: p.default for name, p in inspect.signature(ms.fit).parameters.items()}
    assert defaults["n_starts"] is None
    assert defaults["seed"] == 0
    assert ms.fit(rows().model, rows().X, rows().y).certificate.n_starts == 20


def test_experts_come_by_decreasing_mass_and_the_last_gate_is_the_reference():
    for n_experts, seed in ((2, 0), (3, 1)):
        drawn = sample(n_experts, n=N, seed=seed)
        results = ms.fit(drawn.model, drawn.X, drawn.y, n_starts=6)
        masses = results.certificate.optimum.masses
        assert (np.diff(masses) <= 0).all()
        np.testing.assert_allclose(results.responsibilities().sum(axis=0), masses, rtol=1e-12)
        assert results.params.gate.intercepts[-1] == 0.0
        np.testing.assert_array_equal(results.params.gate.slopes[-1], 0.0)


# ------------------------------------------------------------------------------------ the rows, said otherwise
def test_the_order_of_the_rows_does_not_matter():
    order = np.random.default_rng(1).permutation(N)
    assert_same_fit(ms.fit(rows().model, rows().X[order], rows().y[order], n_starts=6), reference())


def test_the_labels_of_a_start_do_not_matter():
    """Starting from the true parameters, or from them with the experts' numbers exchanged."""
    exchanged = [
        {name: getattr(part, name)[::-1] for name in vars(part)} for part in (rows().truth.gate, rows().truth.expert)
    ]
    swapped = rows().model.params(gate=exchanged[0], expert=exchanged[1])
    one, two = (ms.fit(rows().model, rows().X, rows().y, start=start) for start in (rows().truth, swapped))
    assert_same_fit(one, two)
    assert_same_fit(one, reference())


@pytest.mark.parametrize("block_rows", [8, 50, 64, 10_000])
def test_the_size_of_the_tiles_does_not_matter(block_rows):
    assert_same_fit(ms.fit(rows().model, Data(rows().X, rows().y, block_rows=block_rows), n_starts=6), reference())


@pytest.mark.parametrize("expert", ["gaussian", "multinomial"])
def test_a_weight_of_two_is_a_row_given_twice(expert):
    drawn = sample(2, n=N, expert=expert, seed=8)
    times = 1 + np.arange(N) % 3
    weighted = ms.fit(drawn.model, drawn.X, drawn.y, sample_weight=times, start=drawn.truth)
    repeated = ms.fit(drawn.model, np.repeat(drawn.X, times, axis=0), np.repeat(drawn.y, times), start=drawn.truth)
    assert_same_fit(weighted, repeated)
    assert weighted.nobs == repeated.nobs == times.sum()
    np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-6)  # an inverse loses a few digits


def test_rows_of_weight_zero_are_not_there():
    """Bit for bit, even if they are far away from all others."""
    X, y = np.r_[rows().X, [[1e6]]], np.r_[rows().y, -1e6]
    results = ms.fit(rows().model, X, y, sample_weight=np.r_[np.ones(N), 0.0], n_starts=6)
    assert results.llf == reference().llf
    np.testing.assert_array_equal(results.theta, reference().theta)


def test_a_gate_with_its_own_covariates():
    """Given as Z, they are what the gate sees; the same columns as X give the fit without Z."""
    X, y = rows().X, rows().y
    assert_same_fit_but_names(ms.fit(rows().model, X, y, X.copy(), n_starts=6), reference())
    own = ms.fit(rows().model, X, y, np.column_stack([X[:, 0], X[:, 0] ** 2]), n_starts=6)
    assert own.params.gate.slopes.shape == (2, 2)
    assert own.params.expert.slopes.shape == (2, 1)
    assert own.llf > reference().llf


def assert_same_fit_but_names(results, other):
    assert results.llf == pytest.approx(other.llf, rel=SAME_FIT)
    np.testing.assert_allclose(results.theta, other.theta, rtol=SAME_FIT, atol=SAME_FIT)


def test_a_gate_without_covariates_has_constant_weights():
    """Held gate slopes of zero say the same."""
    constant = ms.fit(rows().model, rows().X, rows().y, np.empty((N, 0)), n_starts=6)
    held = ms.fit(ms.MixtureOfExperts(fixed={"gate.slopes": 0.0}), rows().X, rows().y, n_starts=6)
    assert constant.df_model == held.df_model == 7
    assert constant.llf == pytest.approx(held.llf, rel=SAME_FIT)
    weights = constant.gate_weights(Z=np.empty((3, 0)))
    np.testing.assert_array_equal(weights, weights[:1].repeat(3, axis=0))


def test_one_expert_without_covariates_is_the_mean_and_the_variance():
    results = ms.fit(ms.MixtureOfExperts(n_experts=1), None, rows().y)
    assert results.params.expert.intercepts[0] == pytest.approx(rows().y.mean(), rel=1e-13)
    assert results.params.expert.variances[0] == pytest.approx(rows().y.var(), rel=1e-13)


def test_an_offset_of_lines_is_a_part_of_the_response_that_is_known():
    """Subtracting it from y gives the same lines and the same density of the rest."""
    offset = 3 * normal(N, seed=9)
    drawn = sample(2, n=N)
    with_offset = ms.fit(drawn.model, drawn.X, drawn.y + offset, offset=offset, n_starts=6)
    assert_same_fit(with_offset, reference())


# ------------------------------------------------------------------------------------ units
@pytest.mark.parametrize(("x_power", "y_power"), [(10, 0), (0, -20), (-300, 200)])
def test_units_that_differ_by_powers_of_two_change_no_bit(x_power, y_power):
    """In working coordinates; the density of y in other units moves the log-likelihood by n times a logarithm."""
    scaled = ms.fit(rows().model, np.ldexp(rows().X, x_power), np.ldexp(rows().y, y_power), n_starts=6)
    np.testing.assert_array_equal(scaled.theta, reference().theta)
    assert scaled.certificate.grad_norm == reference().certificate.grad_norm
    np.testing.assert_array_equal(
        scaled.params.expert.slopes, np.ldexp(reference().params.expert.slopes, y_power - x_power)
    )
    expected = reference().llf - N * y_power * np.log(2)
    assert scaled.llf == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("factor", "shift"), [(1e6, 0.0), (1.0, 1e4), (1e-3, -50.0)])
def test_units_and_origins_do_not_matter(factor, shift):
    """Raw digits lost to the shift are the only trace: 1e4 against a spread of one costs four of sixteen."""
    moved = ms.fit(rows().model, factor * rows().X + shift, factor * rows().y - shift, n_starts=6)
    assert moved.llf == pytest.approx(reference().llf - N * np.log(factor), rel=SAME_FIT)
    np.testing.assert_allclose(moved.params.expert.slopes, reference().params.expert.slopes, rtol=SAME_FIT)


# ------------------------------------------------------------------------------------ sources of rows
class Streamed:
    """Rows that are computed when they are asked for, a few at a time, and never kept."""

    schema = Schema(("x1",), ("x1",), ("y",))
    uses_offset = uses_exposure = False
    n_rows, total_weight = N, float(N)
    chunk = 48

    def __init__(self, moments, coordinates=None):
        self.moments = moments
        self.coordinates = moments if coordinates is None else coordinates

    @staticmethod
    def raw(first, last):
        """Rows first to last; a file would be read here."""
        return rows().X[first:last], rows().y[first:last, None]

    def blocks(self):
        for first in range(0, N, self.chunk):
            yield self._block(*self.raw(first, min(first + self.chunk, N)))

    def _block(self, X, y):
        n, at = len(y), self.coordinates
        features, gate = (np.vstack([np.ones(n), affine.apply(X).T]) for affine in (at.X, at.Z))
        return Block(features, gate, np.ascontiguousarray(at.y.apply(y).T), np.zeros(n), np.ones(n))

    def in_coordinates(self, coordinates):
        return Streamed(self.moments, coordinates)


def moments_of_rows():
    X, y = (Affine(c.mean(axis=0), 2.0 ** np.round(np.log2(c.std(axis=0)))) for c in (rows().X, rows().y[:, None]))
    return Coordinates(X, X, y)


def test_a_source_of_ones_own_gives_the_fit_of_the_arrays():
    """Anything that keeps the protocol will do."""
    source = Streamed(moments_of_rows())
    assert isinstance(source, BlockSource)
    assert_same_fit(ms.fit(rows().model, source, n_starts=6), reference())


class OneBuffer(Streamed):
    """A reader that fills the same arrays again and again."""

    def blocks(self):
        buffer = None
        for block in super().blocks():
            if buffer is None or buffer.weight.size != block.weight.size:
                buffer = Block(*(np.empty_like(array) for array in block[:5]))
            for kept, array in zip(buffer[:5], block[:5], strict=True):
                kept[...] = array
            yield buffer

    def in_coordinates(self, coordinates):
        return OneBuffer(self.moments, coordinates)


def test_a_source_may_fill_one_buffer_again_and_again():
    """Fit, means, weights and responsibilities of the rows are those of the arrays."""
    results = ms.fit(rows().model, OneBuffer(Data(rows().X, rows().y).moments), n_starts=6)
    assert_same_fit(results, reference())
    for ask in ("predict", "gate_weights", "responsibilities"):
        np.testing.assert_allclose(getattr(results, ask)(), getattr(reference(), ask)(), atol=1e-7)


def test_data_give_the_fit_of_their_arrays():
    results = ms.fit(rows().model, Data(rows().X, rows().y), n_starts=6)
    assert results.llf == reference().llf
    np.testing.assert_array_equal(results.theta, reference().theta)


# ------------------------------------------------------------------------------------ starts and solvers
def test_a_given_start_is_gone_on_from():
    """The trace begins at its likelihood; from the maximum there is nothing to do."""
    results = ms.fit(rows().model, rows().X, rows().y, start=rows().truth)
    unit = N * np.log(results.coordinates.y.scale[0])
    begin = rows().model.loglik(rows().truth, rows().X, rows().y)
    assert results.trace.loglik[0] - unit == pytest.approx(begin, rel=1e-12)
    assert list(results.starts.family) == ["given"]
    again = ms.fit(rows().model, rows().X, rows().y, start=results.params)
    assert again.trace.loglik[0] == pytest.approx(again.trace.loglik.iloc[-1], rel=1e-13)


def test_a_solver_of_the_caller_runs_from_the_start_itself():
    """As a published recipe would: no short run before, no other solver after."""
    with pytest.warns(ConvergenceWarning, match="not converged"):
        results = ms.fit(rows().model, rows().X, rows().y, n_starts=2, solver=EM(max_iter=3, rtol=None))
    assert set(results.trace.method) == {"em"}
    assert list(results.starts.n_iter) == [3, 3]


def test_every_start_gets_a_short_run_before_it_is_finished():
    results = ms.fit(rows().model, rows().X, rows().y, n_starts=4)
    assert (results.starts.loglik_short <= results.starts.loglik).all()
    assert results.starts.n_iter.min() > 0
    assert results.trace.method.iloc[0] == "em"
    assert results.trace.loglik.is_monotonic_increasing or results.trace.loglik.diff().min() > -1e-10


def test_of_many_rows_only_the_most_promising_starts_are_finished(monkeypatch):
    """Those of the highest likelihood after the short run."""
    monkeypatch.setattr(search, "FINISH_ALL_ROWS", N // 4)
    results = ms.fit(rows().model, rows().X, rows().y, n_starts=8)
    finished = results.starts.status != "not finished"
    assert finished.sum() == search.MIN_FINISHED == results.certificate.n_finished
    short = results.starts.loglik_short
    assert short[finished].min() >= short[~finished].max()
    assert "of the 5 most promising of 8 starts" in str(results.certificate)
    assert results.llf == pytest.approx(reference().llf, rel=SAME_FIT)


def test_the_best_start_wins():
    """No start that ended at an interior maximum is above the result."""
    drawn = sample(2, n=N)
    results = ms.fit(ms.MixtureOfExperts(n_experts=3), drawn.X, drawn.y, n_starts=12)
    interior = results.starts.status == ms.Status.STRICT_MAXIMUM.value
    assert results.starts.loglik[interior].nunique() > 1
    assert results.llf == pytest.approx(results.starts.loglik[interior].max(), rel=1e-12)
    assert (results.starts.solution == 1).sum() == results.certificate.n_reached


def test_the_default_solver_can_be_named():
    named = ms.fit(rows().model, rows().X, rows().y, n_starts=6, solver=EMThenNewton())
    assert_same_fit(named, reference())


@pytest.mark.parametrize("seed", range(3))
def test_a_far_higher_supremum_is_reported_whatever_the_starts(seed):
    """Starts of one family may end at both: outcomes are told apart by identity, not by their arrays."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 1, 30), rng.uniform(2, 3, 30)])
    y = np.where(x < 1.5, -x, 10 + 2 * x) + 0.3 * rng.normal(size=60)
    with pytest.warns(ConvergenceWarning, match="separates"):
        results = ms.fit(ms.MixtureOfExperts(n_experts=2), x, y, n_starts=20, seed=seed)
    assert results.certificate.status is ms.Status.RUNAWAY
    assert any(r.status is ms.Status.STRICT_MAXIMUM for r in results.certificate.rivals)
