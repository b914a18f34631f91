"""Annealing: falling temperatures, each stage a monotone EM, and the model itself at the end."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.solvers import EM, Annealing


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 1))
    first = rng.random(300) < 1 / (1 + np.exp(-3 * X[:, 0]))
    return X, np.where(first, 3 * X[:, 0], 1 - 2 * X[:, 0]) + 0.3 * rng.standard_normal(300)


@pytest.mark.parametrize("gate", ["softmax", "temperature", "hierarchical", "activation(tau=0.3)"])
def test_it_ends_where_the_default_does(gate: str, rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = ms.MixtureOfExperts(gate=gate, n_experts=2)
    annealed, default = (ms.fit(model, *rows, n_starts=4, solver=solver) for solver in ("annealing", None))
    assert annealed.certificate.trusted
    assert annealed.llf == pytest.approx(default.llf, rel=1e-10)
    assert annealed.check().passed


def test_every_stage_is_monotone(rows: tuple[np.ndarray, np.ndarray]) -> None:
    solver = Annealing(temperatures=(16.0, 4.0), em=EM(max_iter=6, rtol=None, gtol=None))
    results = ms.fit(ms.MixtureOfExperts(gate="softmax", n_experts=2), *rows, n_starts=1, solver=solver)
    stages = [(name, list(group)) for name, group in groupby(results._trace, key=lambda row: row.method)]
    assert [name for name, _ in stages][:2] == ["em at temperature 16", "em at temperature 4"]
    assert [len(group) for _, group in stages][:2] == [7, 7]
    for _, group in stages:
        assert all(b.climbed >= a.climbed - 1e-12 * abs(a.climbed) for a, b in pairwise(group))
    hot = stages[0][1][-1]
    assert hot.objective != hot.loglik  # what is climbed there is the likelihood of the blurred gate


@pytest.mark.parametrize("temperatures", [(1.0,), (2.0, 4.0), (4.0, 4.0), (np.inf,), "hot", (True, 2)])
def test_temperatures_fall_towards_one(temperatures: object) -> None:
    with pytest.raises(InputError, match="temperatures must"):
        Annealing(temperatures=temperatures)  # type: ignore[arg-type]


def test_its_solvers_are_solvers() -> None:
    with pytest.raises(InputError, match="em must be a solver"):
        Annealing(em="em")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="then must be a solver"):
        Annealing(then=EM)  # type: ignore[arg-type]


def test_a_joint_gate_cannot_be_annealed(rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = ms.MixtureOfExperts(gate="gaussian(likelihood='joint')")
    with pytest.raises(InputError, match=r"annealing divides a gate's logits.*gaussian gate with a joint likelihood"):
        ms.fit(model, *rows, n_starts=1, solver="annealing")


@pytest.mark.parametrize("gate", ["softmax", "temperature", "entmax(alpha=1.5)", "noisy_topk(n_active=1, scale=1.0)"])
def test_noise_ends_where_the_default_does(gate: str, rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = ms.MixtureOfExperts(gate=gate, n_experts=2)
    solver = Annealing(noise=(1.0, 0.5, 0.25))
    noisy, default = (ms.fit(model, *rows, n_starts=4, solver=chosen) for chosen in (solver, None))
    assert noisy.certificate.trusted
    assert noisy.llf == pytest.approx(default.llf, rel=1e-10)


def test_noise_falls_and_leaves() -> None:
    """Stages of a noisy top-K gate that climb its likelihood, and then the top-K gate itself."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 1))
    y = np.where(X[:, 0] > 0, 2 + X[:, 0], -2.0) + 0.3 * rng.standard_normal(300)
    solver = Annealing(noise=(1.0, 0.25), em=EM(max_iter=6, rtol=None, gtol=None))
    results = ms.fit(ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=2), X, y, n_starts=2, solver=solver)
    stages = [(name, list(group)) for name, group in groupby(results._trace, key=lambda row: row.method)]
    assert [name for name, _ in stages][:2] == ["em with noise 1", "em with noise 0.25"]
    for _, group in stages[:2]:
        assert all(b.climbed >= a.climbed - 1e-12 * abs(a.climbed) for a, b in pairwise(group))
    assert set(np.unique(results.gate_weights())) == {0.0, 1.0}


@pytest.mark.parametrize("noise", [(0.0,), (-1.0,), (0.5, 1.0), "loud", (True,), (np.nan,)])
def test_noise_falls_towards_zero(noise: object) -> None:
    with pytest.raises(InputError, match="noise must"):
        Annealing(noise=noise)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{}, {"noise": (1.0, 0.5, 0.25)}], ids=["temperatures", "noise"])
def test_gates_that_jump_end_at_ties(settings: dict[str, object]) -> None:
    rng = np.random.default_rng(2)
    model = ms.MixtureOfExperts(gate="topk(n_active=2)", n_experts=3)
    truth = model.params(
        gate={"intercepts": [0.3, -0.2, 0.0], "slopes": [[2.0], [-2.0], [0.0]]},
        expert={"intercepts": [2.0, 0.0, -2.0], "slopes": [[2.0], [0.0], [-2.0]], "variances": 3 * [0.3]},
    )
    X = rng.standard_normal((200, 1))
    y = model.sample(truth, X, rng)
    results = ms.fit(model, X, y, n_starts=2, solver=Annealing(**settings))  # type: ignore[arg-type]
    assert results.certificate.trusted
    assert results.trace.method.iloc[-1] == "ties"


def test_what_is_wrong_with_a_schedule_is_said_once() -> None:
    with pytest.raises(InputError, match=r"noise must be one or more numbers larger than zero") as refused:
        Annealing(noise=(-1.0,))
    assert str(refused.value).count("The last stage") == 1
    with pytest.raises(InputError, match="noise must be one or more numbers"):
        Annealing(noise=())
