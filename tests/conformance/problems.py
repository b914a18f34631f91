"""What the laws are tried on: every gate with every expert, and rows drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from moestat import gates
from moestat.component import Dims, Expert, Gate
from moestat.coordinates import Affine, Coordinates
from moestat.data import Block, Data
from moestat.experts import (
    EXPERTS,
    Constant,
    Gamma,
    Gaussian,
    Known,
    Mixed,
    MultivariateGaussian,
    Noise,
    Poisson,
    Zero,
)
from moestat.gates import GATES, Cosine, NoRGa, Quadratic, Softmax, TopK
from moestat.gates import Gaussian as GaussianGate
from moestat.gates.topk import SURFACE
from moestat.params import Layout
from moestat.passes import Passes
from moestat.terms import Terms, Tile
from moestat.typing import FloatArray, IntArray
from tests.conformance import formulas
from tests.conformance.sketches import Background

# --------------------------------------------------------------------------------------- what is tried
#: registered gates with other settings than their defaults
SETTINGS: dict[str, Gate] = {
    "temperature(laplace)": gates.Temperature(gates.Laplace()),
    "topk(score)": TopK(rank_on="score"),
    "topk(laplace)": TopK(gates.Laplace(0.1)),
    "topk(temperature)": TopK(gates.Temperature(Softmax())),
    "topk(score, temperature(covariates))": TopK(
        gates.Temperature(Softmax(), depends_on="covariates"), rank_on="score"
    ),
    "topk(all)": TopK(n_active=3),
    "topk(one)": TopK(n_active=1),
    "topk(one, laplace)": TopK(gates.Laplace(0.1), n_active=1),
    "topk(hierarchical)": TopK(gates.Hierarchical(groups=(2, 2)), n_active=3),
    "temperature(topk)": gates.Temperature(TopK(Softmax(), n_active=2)),
    "temperature(temperature)": gates.Temperature(gates.Temperature(Softmax(), depends_on="covariates")),
    "temperature(covariates)": gates.Temperature(Softmax(), depends_on="covariates"),
    "temperature(covariates, activation)": gates.Temperature(
        gates.Activation("tanh", tau=0.5), depends_on="covariates"
    ),
    "temperature(held)": gates.Temperature(Softmax(), tau=0.7),
    "temperature(quadratic)": gates.Temperature(Quadratic()),
    "temperature(cosine)": gates.Temperature(Cosine()),
    "temperature(cosine(perturbation))": gates.Temperature(Cosine(perturbation=(0.5, 0.2))),
    "temperature(norga(identity))": gates.Temperature(NoRGa(activation="identity")),
    "temperature(norga(relu))": gates.Temperature(NoRGa(activation="relu", alpha=0.7)),
    "hierarchical(laplace, laplace)": gates.Hierarchical(gates.Laplace(), gates.Laplace(), groups=(2, 3)),
    "hierarchical(laplace, softmax)": gates.Hierarchical(gates.Laplace(), Softmax(), groups=(2, 3)),
    "hierarchical(softmax, laplace)": gates.Hierarchical(Softmax(), gates.Laplace(), groups=(2, 2)),
    "hierarchical(sigmoid, norga)": gates.Hierarchical(gates.Sigmoid(), NoRGa(), groups=(2, 3)),
    "hierarchical(quadratic, cosine)": gates.Hierarchical(Quadratic(), Cosine(), groups=(3, 2)),
    "adaptive_temperature(topk)": gates.AdaptiveTemperature(TopK(Softmax(), n_active=2)),
    "adaptive_temperature(laplace)": gates.AdaptiveTemperature(gates.Laplace()),
    **{f"activation({name})": gates.Activation(name) for name in ("identity", "relu", "tanh", "silu", "gelu")},
    "activation(held)": gates.Activation("tanh", tau=0.5),
    "temperature(activation)": gates.Temperature(gates.Activation("relu", tau=0.5)),
    "constant(given)": gates.Constant(weights=(0.2, 0.2, 0.6)),
    "hierarchical(laplace, (laplace, softmax))": gates.Hierarchical(
        gates.Laplace(), (gates.Laplace(), Softmax()), groups=(2, 3)
    ),
    "hierarchical(constant, alone)": gates.Hierarchical(gates.Constant(weights=(0.5, 0.5)), Softmax(), groups=(1, 3)),
    "hierarchical(softmax, topk(laplace))": gates.Hierarchical(
        Softmax(), TopK(gates.Laplace(0.1), n_active=2), groups=(2, 3)
    ),
    "hierarchical(softmax, topk(one))": gates.Hierarchical(Softmax(), TopK(n_active=1), groups=(2, 2)),
    "hierarchical(topk, topk)": gates.Hierarchical(
        TopK(Softmax(), n_active=2), TopK(Softmax(), n_active=2), groups=(3, 1, 2)
    ),
    "hierarchical(alone, entmax)": gates.Hierarchical(Softmax(), gates.Entmax(alpha=1.5), groups=(1, 3)),
    "hierarchical(one group)": gates.Temperature(gates.Hierarchical(groups=(3,))),
    "hierarchical(groups of one)": gates.Temperature(gates.Hierarchical(groups=(1, 1, 1))),
    "temperature(hierarchical)": gates.Temperature(gates.Hierarchical(groups=(2, 2))),
    "hierarchical(three levels)": gates.Hierarchical(
        Softmax(), gates.Hierarchical(gates.Temperature(Softmax()), gates.Laplace()), groups=(3, 3)
    ),
    **{f"entmax({alpha})": gates.Entmax(alpha=alpha) for alpha in (1.0, 1.25, 1.5, 2.25)},
    "entmax(laplace)": gates.Entmax(gates.Laplace()),
    "entmax(topk)": gates.Entmax(TopK(Softmax(), n_active=2), alpha=1.5),
    "sparsemax(temperature(covariates))": gates.Sparsemax(gates.Temperature(Softmax(), depends_on="covariates")),
    "temperature(entmax)": gates.Temperature(gates.Entmax(alpha=1.5)),
    "hierarchical(softmax, (entmax, sparsemax))": gates.Hierarchical(
        Softmax(), (gates.Entmax(), gates.Sparsemax()), groups=(2, 2)
    ),
    "threshold(mass)": gates.Threshold(mass=0.65),
    "threshold(dense)": gates.Threshold(mass=1.0),
    "threshold(margin)": gates.Threshold(gates.Laplace(), margin=1.0),
    "threshold(temperature)": gates.Threshold(gates.Temperature(Softmax()), margin=0.7),
    "gumbel(tau=None)": gates.Gumbel(tau=None),
    "gumbel(tau=0)": gates.Gumbel(tau=0.0),
    "gumbel(laplace)": gates.Gumbel(gates.Laplace(), tau=0.7, n_draws=16),
    "noisy_topk(scale)": gates.NoisyTopK(scale=0.7),
    "noisy_topk(one active)": gates.NoisyTopK(n_active=1, scale=1.0),
    "noisy_topk(laplace)": gates.NoisyTopK(gates.Laplace()),
    "softmax(transform)": Softmax(transform="tanh"),
    "quadratic(monomial)": Quadratic(linear=False),
    "cosine(perturbation)": Cosine(perturbation=(0.5, 0.2)),
    "norga(silu)": NoRGa(activation="silu", alpha=0.7, tau=1.5),
    "norga(identity)": NoRGa(activation="identity"),
}
VARIANTS: dict[str, Gate] = {
    "gaussian(diagonal)": GaussianGate(shape="diagonal"),
    "gaussian(spherical)": GaussianGate(shape="spherical"),
    "gaussian(common)": GaussianGate(covariance="common"),
    "gaussian(joint)": GaussianGate(likelihood="joint"),
    "gaussian(joint, common)": GaussianGate(covariance="common", likelihood="joint"),
    "gaussian(joint, diagonal)": GaussianGate(shape="diagonal", likelihood="joint"),
    "gaussian(joint, diagonal, common)": GaussianGate(shape="diagonal", covariance="common", likelihood="joint"),
    "gaussian(joint, spherical)": GaussianGate(shape="spherical", likelihood="joint"),
    "gaussian(joint, spherical, common)": GaussianGate(shape="spherical", covariance="common", likelihood="joint"),
}
ALL_GATES: dict[str, Gate] = {name: gate() for name, gate in GATES.items() if gate.sums_to_one} | SETTINGS | VARIANTS


def alternately(n_experts: int, *families: Expert) -> Expert:
    """These families in turn."""
    return Mixed(tuple(islice(cycle(families), n_experts)))


#: Families with something to estimate. Without parameters all experts would be equal; such families join tuples below.
ESTIMATED = [name for name, expert in EXPERTS.items() if expert().layout(Dims(1, 1, 1, 3)).size]
ALL_EXPERTS: dict[str, Callable[[int], Expert]] = {
    **{name: lambda K, expert=EXPERTS[name]: expert() for name in ESTIMATED},
    "gaussian(common)": lambda K: Gaussian(variance="common"),
    **{
        f"gaussian({form})": lambda K, form=form: Gaussian(form=form)
        for form in ("polynomial", "tanh", "sigmoid", "gelu", "relu")
    },
    "multivariate_gaussian(common)": lambda K: MultivariateGaussian(covariance="common"),
    "multivariate_gaussian(diagonal)": lambda K: MultivariateGaussian(shape="diagonal"),
    "multivariate_gaussian(diagonal, common)": lambda K: MultivariateGaussian(shape="diagonal", covariance="common"),
    "mixed": lambda K: alternately(K, Gaussian(), Background()),
    "gamma(common)": lambda K: Gamma(dispersion="common"),
    "constant(poisson)": lambda K: Constant(Poisson()),
    "constant(multivariate_gaussian)": lambda K: Constant(MultivariateGaussian()),
    "zero-inflated": lambda K: alternately(K, Poisson(), Zero(), Constant(Poisson())),
    "several side by side": lambda K: alternately(K, MultivariateGaussian(), MultivariateGaussian(shape="diagonal")),
    "contaminated": lambda K: alternately(K, Gaussian(), Known("laplace", 0.5, 2.0, slopes=(0.3,) * 5), Noise(-1.0)),
}


def is_met(gate: str, expert: str) -> bool:
    """Every gate meets every family; variants of a gate, tuples and settings of families, the plainest partner only."""
    plain = expert in (*ESTIMATED, "mixed", "gaussian(common)")
    return (gate not in VARIANTS or expert == "gaussian") and (plain or gate == "softmax")


PAIRS = [(gate, expert) for gate in ALL_GATES for expert in ALL_EXPERTS if is_met(gate, expert)]
EACH_GATE = [(gate, "gaussian") for gate in ALL_GATES]
EACH_EXPERT = [("softmax", expert) for expert in ALL_EXPERTS]


#: Families that gates in other settings meet in every run; the others wait for the slow one.
USUAL = ("gaussian", "multinomial", "mixed")


def over(pairs: list[tuple[str, ...]]) -> pytest.MarkDecorator:
    """Run a test on the problem of each (gate, expert)."""
    cases = [
        pytest.param(pair, marks=pytest.mark.slow) if pair[0] in SETTINGS and pair[1] not in USUAL else pair
        for pair in pairs
    ]
    return pytest.mark.parametrize("problem", cases, ids="-".join, indirect=True)


def gates_where(accept: Callable[[Gate], bool]) -> list[tuple[str, str]]:
    return [(gate, expert) for gate, expert in EACH_GATE if accept(ALL_GATES[gate])]


# --------------------------------------------------------------------------------------- problems
@dataclass(frozen=True)
class Rows:
    """Raw data, with class codes beside the labels."""

    X: FloatArray
    Z: FloatArray
    y: FloatArray
    weight: FloatArray
    offset: FloatArray
    uses_offset: bool
    categorical: bool

    def data(self, pick: IntArray | slice = slice(None), weight: FloatArray | None = None, **options: int) -> Data:
        """Source of some of the rows, in its own working coordinates."""
        response = np.array(["low", "middle", "top"])[self.y.astype(int)] if self.categorical else self.y
        return Data(
            self.X[pick],
            response[pick],
            None if self.Z is self.X else self.Z[pick],
            self.weight[pick] if weight is None else weight,
            offset=self.offset[pick] if self.uses_offset else None,
            categorical=self.categorical,
            **options,
        )


@dataclass(frozen=True)
class Problem:
    """A model, rows drawn from it, and parameters near those that drew them."""

    gate: Gate
    expert: Expert
    layout: Layout
    terms: Terms
    theta: FloatArray
    rows: Rows
    source: Data

    @property
    def passes(self) -> Passes:
        return Passes(self.terms, self.source)

    def on(self, source: Data) -> Passes:
        """Passes of the same model over other rows, in raw coordinates."""
        return Passes(self.terms, raw(source))

    @property
    def gate_layout(self) -> Layout:
        return dict(self.layout.entries)["gate"]

    def loglik(self, theta: FloatArray) -> float:
        return self.passes.loglik(theta)

    def row_loglik(self, theta: FloatArray) -> FloatArray:
        """log p of each row by the formulas."""
        r = self.rows
        p = formulas.fields(self.layout, theta)
        return formulas.row_loglik(self.gate, self.expert, p, r.X, r.Z, r.y, r.offset)

    def row_scores(self) -> FloatArray:
        """Score of each row (n, P) by complex steps."""
        steps = 1e-30j * np.eye(self.theta.size)
        return np.stack([self.row_loglik(self.theta + step).imag for step in steps], axis=1) / 1e-30

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Gate weights and posterior probabilities (n, K) by the formulas."""
        r, p = self.rows, formulas.fields(self.layout, self.theta)
        h = formulas.logits(self.gate, p["gate"], r.Z)
        b = formulas.log_density(self.expert, p["expert"], r.X, r.y, r.offset)
        return special.softmax(h, axis=1), special.softmax(h + b, axis=1)

    def tiles(self) -> Iterator[Tile]:
        return self.terms.tiles(self.theta, self.source.blocks())

    def rowwise(self, name: str) -> FloatArray:
        """One array of the tiles as (n, K), without padding."""
        # tiles are overwritten one by the next
        return np.hstack([getattr(tile, name).copy() for tile in self.tiles()]).T[: self.source.n_rows]


def raw(source: Data) -> Data:
    """The same rows in the user's units."""
    schema = source.schema
    sizes = (len(schema.features), len(schema.gate_features), len(schema.responses))
    return source.in_coordinates(Coordinates(*(Affine.identity(size) for size in sizes)))


def n_experts(gate: Gate) -> int:
    """Three, or as many as a gate of groups has, also inside another gate."""
    while not isinstance(gate, gates.Hierarchical) and isinstance(getattr(gate, "inner", None), Gate):
        gate = gate.inner
    return sum(gate.groups) if isinstance(gate, gates.Hierarchical) and gate.groups else 3


def n_responses(expert: Expert) -> int:
    return 2 if expert.several_responses else 1


def model_layout(gate: Gate, expert: Expert, K: int, d: int, e: int) -> Layout:
    m = n_responses(expert)
    parts = (("gate", gate.layout(Dims(K, e))), ("expert", expert.layout(Dims(K, d, m, 3))))
    return Layout(SimpleNamespace, parts)


@cache
def build(gate_name: str, expert_name: str, covariates: str = "of each") -> Problem:
    """The first seed whose rows put the model to a fair trial; ``covariates="in common"`` makes Z the same as X."""
    gate = ALL_GATES[gate_name]
    expert = ALL_EXPERTS[expert_name](n_experts(gate))
    for seed in range(100):
        problem = drawn(gate, expert, np.random.default_rng(seed), covariates == "in common")
        if no_expert_is_idle(problem) and no_switch_is_near(problem) and no_logit_is_extreme(problem):
            return problem
    raise AssertionError(f"no seed below 100 puts {gate_name} with {expert_name} to a fair trial.")


def drawn(gate: Gate, expert: Expert, rng: np.random.Generator, in_common: bool) -> Problem:
    K, n, d = n_experts(gate), 84, 5
    e = d if in_common else 2
    layout = model_layout(gate, expert, K, d, e)
    terms = Terms.of(gate, expert, layout)
    X = 0.5 + 1.7 * rng.standard_normal((n, d))
    Z = X if in_common else 1.7 * rng.standard_normal((n, e)) - 0.4
    weight = rng.gamma(2.0, size=n) * (rng.random(n) > 0.1)
    offset = 0.5 * rng.standard_normal(n) if expert.accepts_offset else np.zeros(n)
    truth = rng.standard_normal(layout.size) * spreads(layout, terms.n_gate)
    features = (np.vstack([np.ones(n), covariates.T]) for covariates in (X, Z))
    blank = Block(*features, np.zeros((n_responses(expert), n)), offset, weight)
    drawn_rows = terms.expert.draw(truth[terms.expert_columns], blank, rng.integers(K, size=n), rng)
    y = drawn_rows[0] if len(drawn_rows) == 1 else drawn_rows.T
    rows = Rows(X, Z, y, weight, offset, expert.accepts_offset, expert.categorical)
    source = raw(rows.data(block_rows=24))
    expert.check(source)
    return Problem(gate, expert, layout, terms, truth + 0.1 * rng.standard_normal(layout.size), rows, source)


def spreads(layout: Layout, n_gate: int) -> FloatArray:
    """Standard deviations of the truth; those of an exponent of an exponent are small, for `no_logit_is_extreme`."""
    out = np.where(np.arange(layout.size) < n_gate, 0.7, 0.3)
    for _, slot, start in layout.leaves():
        if slot.label == "log_temperature":
            out[start : start + slot.size] = 0.3
    return out


def no_expert_is_idle(problem: Problem) -> bool:
    """A law that holds because every responsibility is 0 or 1 would prove nothing, unless the gate has them so."""
    _, posterior = problem.posterior()
    if alone(problem):
        return bool((posterior.mean(axis=0) > 0.15).all())
    return bool((posterior.max(axis=1) < 0.99).mean() > 0.25 and (posterior.mean(axis=0) > 0.02).all())


def alone(problem: Problem) -> bool:
    """Whether the gate gives some experts all of a row or nothing; these need more rows than coefficients."""
    names = problem.terms.invariance_names(problem.theta)
    return any(name.startswith(SURFACE) for name in names)


def no_logit_is_extreme(problem: Problem) -> bool:
    """Terms of the Hessian cancel: where they are ten thousand times its size, so is the rounding that is compared."""
    p = formulas.fields(problem.gate_layout, problem.theta[: problem.terms.n_gate])
    h = formulas.logits(problem.gate, p, problem.rows.Z)
    return bool(not problem.gate.normalised or np.ptp(np.where(np.isfinite(h), h, h.max()), axis=1).max() < 60.0)


def no_switch_is_near(problem: Problem) -> bool:
    """Differences need a likelihood without jumps: small steps must leave the same experts switched off."""

    def switched_off(theta: FloatArray) -> FloatArray:
        p = formulas.fields(problem.gate_layout, theta)
        return np.isneginf(formulas.logits(problem.gate, p, problem.rows.Z))

    def ranking(theta: FloatArray) -> FloatArray:
        return formulas.ranking(problem.gate, formulas.fields(problem.gate_layout, theta), problem.rows.Z)

    def stays(of: Callable[[FloatArray], FloatArray], theta: FloatArray, step: float) -> bool:
        here, steps = of(theta), step * np.eye(theta.size)
        return all(np.array_equal(of(theta + e), here) for e in (*steps, *-steps))

    theta, beside = (at[: problem.terms.n_gate] for at in (problem.theta, near(problem)))
    # a few thousand noisy logits are never far apart
    return stays(switched_off, theta, 0.003) and stays(ranking, theta, 3e-5) and stays(ranking, beside, 3e-5)


def near(problem: Problem) -> FloatArray:
    """Other parameters, so close that a gate switches nobody off whose rows are shared."""
    return problem.theta + 1e-3 * np.cos(np.arange(problem.theta.size))
