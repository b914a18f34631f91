"""The estimate is never below what it starts from, and is that of `moestat.fit`; recipes keep their rules."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.montecarlo import MLE, PROTOCOLS, FittedModel, Protocol, Published, Truth
from moestat.montecarlo.formulas import Formula
from moestat.montecarlo.protocols import read_protocols
from moestat.montecarlo.protocols.published import StartNearTruth, StoppingRule
from moestat.montecarlo.reading import Table
from moestat.solvers import EM
from moestat.starts import NearTruth
from tests.unit.montecarlo.own import Fixed, gaussian_truth, loglik_of, task_of

#: Log-likelihoods that differ by less than this share of their size are the same maximum.
SAME = 1e-8

BOUNDS = {"gate.slopes": 3.0, "gate.intercepts": 3.0, "expert.slopes": 2.0, "expert.variances": (0.08, 4.0)}


def fitted(n_experts, **settings):
    return FittedModel(f"K{n_experts}", ms.MixtureOfExperts(n_experts=n_experts), **settings)


def multinomial_truth():
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=2)
    gate = {"intercepts": [0.0, 0.0], "slopes": [[2.0], [-2.0]]}
    expert = {"intercepts": [[1.0, -1.0], [-1.0, 1.0]], "slopes": [[[1.0], [0.0]], [[0.0], [-1.0]]]}
    return Truth(model, model.params(gate=gate, expert=expert))


def laplace_truth():
    model = ms.MixtureOfExperts(gate="laplace", n_experts=2)
    gate = {"intercepts": [0.0, 0.0], "centres": [[-1.0], [1.0]]}
    return Truth(model, model.params(gate=gate, expert=gaussian_truth().params.expert))


TRUTHS = {"gaussian": gaussian_truth(), "multinomial": multinomial_truth(), "laplace": laplace_truth()}


# --------------------------------------------------------------------------------------- the estimate
@pytest.mark.parametrize(("name", "n_experts"), [("gaussian", 2), ("gaussian", 3), ("multinomial", 2), ("laplace", 2)])
def test_the_estimate_is_never_below_a_recipe_and_the_truth(name, n_experts):
    truth = TRUTHS[name]
    fit = FittedModel("a", ms.MixtureOfExperts(gate=truth.model.gate, expert=truth.model.expert, n_experts=n_experts))
    recipe, estimate = Published(tries=2), MLE(n_starts=2, polish_from=("published", "truth"))
    for number in range(8 if name == "gaussian" else 3):
        task = task_of(fit, truth, 200, number)
        other = recipe.fit(task)
        end = estimate.fit(task_of(fit, truth, 200, number, published=other))
        assert end.loglik >= loglik_of(truth.model, truth.params, task) - SAME * abs(end.loglik)
        assert end.loglik >= other.loglik - SAME * abs(other.loglik) or not other.status.trusted
        assert end.loglik == pytest.approx(loglik_of(fit.model, end.params, task), rel=1e-10)


@pytest.mark.parametrize("n_experts", [2, 3])
def test_within_bounds_too_where_the_ends_lie_inside(n_experts):
    fit, truth = fitted(n_experts, bounds=BOUNDS), gaussian_truth()
    recipe, estimate = Published(bounded=True), MLE(n_starts=2, polish_from=("published", "truth"))
    layout, (low, high) = fit.model.layout(truth.schema), fit.prepared(truth.schema).box
    for number in range(6):
        other = recipe.fit(task_of(fit, truth, 150, number))
        task = task_of(fit, truth, 150, number, published=other)
        end = estimate.fit(task)
        assert end.loglik >= other.loglik - SAME * abs(other.loglik)
        assert end.loglik >= loglik_of(truth.model, truth.params, task)
        packed = layout.pack(end.params)
        assert (packed >= low - 1e-9).all()
        assert (packed <= high + 1e-9).all()


def test_bounds_that_bind_are_counted():
    tight = fitted(2, bounds={"gate.slopes": 0.25, "expert.variances": (0.5, 4.0)})
    end = MLE(n_starts=3).fit(task_of(tight, gaussian_truth(), 300, 0))
    assert end.n_bounds > 0
    assert end.params.expert.variances == pytest.approx([0.5, 0.5])


CASES = [("gaussian", 2, 20), ("gaussian", 3, 20), ("multinomial", 2, 8), ("laplace", 2, 4)]


@pytest.mark.parametrize(("name", "n_experts", "count"), CASES)
def test_the_estimate_is_the_one_of_the_whole_package(name, n_experts, count):
    truth = gaussian_truth(n_experts) if name == "gaussian" else TRUTHS[name]
    fit = FittedModel("a", truth.model)
    tasks = [task_of(fit, truth, 400, number) for number in range(count)]
    ends = MLE(n_starts=12).fit_many(tasks)
    short = []
    for task, end in zip(tasks, ends, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = fit.rows(task.X, task.y, task.schema)
            results = ms.fit(fit.model, rows, n_starts=12, seed=task.seed_of("starts"))
        best = results.certificate.loglik
        if abs(end.loglik - best) > SAME * abs(best):
            short.append((end.loglik - best, end.status, results.certificate.status))
    assert len(short) <= count // 20, short


def test_a_batch_of_ends_is_that_of_single_fits():
    truth = gaussian_truth()
    tasks = [task_of(fitted(3), truth, 150, number) for number in range(5)]
    together, alone = MLE(n_starts=3).fit_many(tasks), [MLE(n_starts=3).fit(task) for task in tasks]
    layout = fitted(3).model.layout(truth.schema)
    for one, other in zip(together, alone, strict=True):
        assert (layout.pack(one.params) == layout.pack(other.params)).all()
        assert (one.loglik, one.status, one.gradient) == (other.loglik, other.status, other.gradient)
        assert (one.n_iter, one.n_starts, one.n_reached) == (other.n_iter, other.n_starts, other.n_reached)


def test_one_expert_and_least_squares_go_the_general_way():
    truth = gaussian_truth()
    one = MLE(n_starts=1).fit(task_of(fitted(1), truth, 200, 0))
    assert one.trusted
    squares = MLE(n_starts=2).fit(task_of(fitted(2, objective="least_squares"), truth, 200, 0))
    assert np.isfinite(squares.loglik)


def test_screening_climbs_on_a_part_first():
    truth, fit = gaussian_truth(), fitted(2)
    task = task_of(fit, truth, 3000, 0)
    full = MLE(n_starts=6, screen_from=0).fit(task)
    screened = MLE(n_starts=6, screen_from=1000, screen_rows=500, finish=2).fit(task)
    assert screened.loglik == pytest.approx(full.loglik, rel=SAME)
    assert (screened.n_starts, full.n_starts) == (2, 6)  # those that were followed to their end on all rows
    assert screened.n_reached <= 2


def test_screening_needs_a_part():
    with pytest.raises(InputError, match="screen_rows=10000 must not be more than screen_from=5"):
        MLE(screen_from=5)


# --------------------------------------------------------------------------------------- recipes
@pytest.mark.parametrize(("rule", "setting"), [("relative", "rtol"), ("absolute", "atol"), ("parameters", "xtol")])
def test_a_recipe_stops_where_its_rule_says(rule, setting):
    truth, fit = gaussian_truth(), fitted(3)
    recipe = Published(solver=StoppingRule("em", 1e-4, rule, 500))
    task = task_of(fit, truth, 200, 0)
    end = recipe.fit(task)
    law = NearTruth(sd=0.005 * 200**-0.083, exponent=0.0)
    start = law.draw(fit.model, truth.params, 200, task.rng("tries"), truth.model)
    off = dict.fromkeys(("rtol", "atol", "xtol", "gtol"))
    solver = EM(**off | {setting: 1e-4, "max_iter": 500, "raw": True})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_hand = ms.fit(fit.model, fit.rows(task.X, task.y, task.schema), start=start, solver=solver)
    assert end.loglik == pytest.approx(by_hand.certificate.loglik, rel=1e-9)
    assert end.n_iter == len(by_hand.trace) - 1
    assert end.n_starts == 1


def test_the_best_of_several_tries_counts():
    truth, fit = gaussian_truth(), fitted(3)
    start = StartNearTruth(Formula("2.0"))
    task = task_of(fit, truth, 100, 2)
    levels = [Published(start=start, tries=tries).fit(task).loglik for tries in (1, 3, 8)]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]


def test_a_recipe_from_the_data_and_without_noise():
    truth, fit = gaussian_truth(), fitted(2)
    task = task_of(fit, truth, 200, 0)
    from_data = Published(start=None, tries=3).fit(task)
    assert from_data.n_starts == 3
    exact = Published(start=StartNearTruth(Formula("0")), solver=StoppingRule(max_iter=1)).fit(task)
    assert exact.n_iter == 1
    assert exact.loglik >= loglik_of(truth.model, truth.params, task)


def test_bounds_hold_for_recipes_only_if_they_say_so():
    truth, fit = gaussian_truth(), fitted(2, bounds={"expert.variances": (0.5, 4.0)})
    task = task_of(fit, truth, 300, 0)
    assert (Published().fit(task).params.expert.variances < 0.3).all()
    assert (Published(bounded=True).fit(task).params.expert.variances >= 0.5 - 1e-9).all()


def test_a_recipe_climbs_a_likelihood():
    with pytest.raises(InputError, match="maximises the likelihood"):
        Published().check(fitted(2, objective="least_squares"), gaussian_truth(), (100,))


# --------------------------------------------------------------------------------------- reading
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "mle", "n_starts": 0}, r"^protocol\[0\].n_starts must be a whole number from 1"),
        ({"name": "mle", "tries": 2}, r"^protocol\[0\].tries is not known"),
        ({"name": "x"}, r"^protocol\[0\].name: 'x' is no kind"),
        ({"name": "x", "kind": "y"}, r"^protocol\[0\].kind must be one of"),
        ({"name": "published", "solver": 3}, r"^protocol\[0\].solver must be a table"),
        ({"name": "published", "solver": {"tol": 0}}, r"^protocol\[0\].solver.tol must be"),
        ({"name": "published", "solver": {"rtol": 0}}, r"^protocol\[0\].solver.rtol is not known"),
        ({"name": "published", "start": {"kind": "random"}}, r"^protocol\[0\].start.kind must be one of"),
        ({"name": "published", "start": {"kind": "data", "sd": 1}}, r"^protocol\[0\].start.sd is not known"),
        ({"name": "published", "start": {"sd": "m"}}, r"^protocol\[0\].start.sd: must be a number, or a formula"),
        ({"name": "published", "start": {"sd": {"gate": "m"}}}, r"^protocol\[0\].start.sd.gate: must be"),
        ({"name": "published", "bounded": 1}, r"^protocol\[0\].bounded must be true or false"),
    ],
)
def test_protocols_that_are_none(values, said):
    with pytest.raises(InputError, match=said):
        read_protocols([Table(values, "protocol[0]")])


def test_a_protocol_of_a_users_own_in_a_file(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "fixed", Fixed)
    (found,) = read_protocols([Table({"name": "mine", "kind": "fixed", "fails_below": -3.0}, "protocol[0]")])
    assert found == Fixed("mine", fails_below=-3.0)
    assert isinstance(found, Protocol)
    with pytest.raises(InputError, match=r"^protocol\[0\].fails is not known"):
        read_protocols([Table({"name": "mine", "kind": "fixed", "fails": 1}, "protocol[0]")])


def test_digests_are_of_settings():
    assert MLE().digest == MLE(fits=("a",)).digest
    assert MLE().digest != MLE(n_starts=13).digest
    assert MLE().digest != Published().digest
    assert Published(start=None).digest != Published().digest
