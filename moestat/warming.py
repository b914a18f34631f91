"""Compile kernels before they are needed: the first fit of an installation waits for the compiler, this waits instead.

Compiled code is kept in a folder of the user's cache and serves every later process. A kernel is compiled once, for one
type of each argument: `Data` lays rows out in one way whatever they come in, so neither their number and shape nor
how they are stored makes a second version.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from moestat.component import Expert, Gate
from moestat.errors import InputError, MoestatError, MoestatWarning
from moestat.fitting import fit
from moestat.kernels.compile import kept_in, tally
from moestat.model import MixtureOfExperts
from moestat.objectives import OBJECTIVES
from moestat.prepared import prepare
from moestat.progress import Report, reporting
from moestat.results import Results

#: What most fits are made of; annealing passes through temperatures.
COMMON_GATES = ("softmax", "constant", "temperature")
COMMON_EXPERTS = ("gaussian", "multivariate_gaussian", "multinomial", "poisson", "binomial", "gamma")

#: Every gate and expert with kernels, in the forms that have some of their own.
ALL_GATES = (
    *COMMON_GATES,
    "softmax('tanh')",
    "laplace",
    "quadratic",
    "gaussian",
    "gaussian(likelihood='joint')",
    "gaussian(shape='diagonal', likelihood='joint')",
    "cosine",
    "sigmoid",
    "unnormalised_sigmoid",
    "norga",
    "temperature(laplace)",
    "temperature(depends_on='covariates')",
    "adaptive_temperature",
    "adaptive_temperature(laplace)",
    "activation",
    "sparsemax",
    "entmax",
    "threshold",
    "threshold(margin=1.0)",
    "hierarchical",
    "hierarchical(laplace, laplace)",
    "topk",
    "gumbel",
    "gumbel(tau=0.0)",
    "noisy_topk",
)
ALL_EXPERTS = (
    *COMMON_EXPERTS,
    "gaussian(variance='common')",
    "gaussian(form='polynomial')",
    "gaussian(form='tanh')",
    "constant(gaussian)",
)

#: Every objective; and hard assignments, which have a kernel of their own.
WAYS: tuple[dict[str, Any], ...] = (
    *({"objective": objective} for objective in OBJECTIVES),
    {"solver": "classification_em"},
)

N_EXPERTS = 4
N_ROWS = 64


@dataclass(frozen=True)
class Warmth:
    """What `warmup` did.

    Parameters
    ----------
    n_compiled, n_loaded : int
        Kernels that were compiled, and that had been before.
    seconds : float
    folder : Path
        Where compiled code is kept.
    """

    n_compiled: int
    n_loaded: int
    seconds: float
    folder: Path

    def __str__(self) -> str:
        return (
            f"{self.n_compiled} kernels compiled, {self.n_loaded} were there, in {self.seconds:.1f} s. "
            f"They are kept in {self.folder}"
        )


def warmup(
    gates: Sequence[Gate | str] = COMMON_GATES,
    experts: Sequence[Expert | str] = COMMON_EXPERTS,
    *,
    progress: bool | Report = False,
) -> Warmth:
    """Compile what fits with these gates and experts need, and keep it for later processes.

    Each gate is used with Gaussian experts, and each expert with a softmax gate: kernels do not know the other side.
    What has been compiled before is only loaded, so an interrupted warm-up goes on where it ended.

    Parameters
    ----------
    gates, experts : sequence of components
        As a model takes them, such as ``["laplace", "topk(n_active=2)"]``; by default the common ones.
        `ALL_GATES` and `ALL_EXPERTS` have every one.
    progress : bool or callable
        True shows a bar on standard error; a function is called with the stage, the number of components done, and
        the number of components.

    Returns
    -------
    Warmth

    Raises
    ------
    InputError
        When a component is not known, or does not go with four experts.
    OSError
        When the folder of compiled code cannot be written.

    Examples
    --------
    >>> import moestat as ms
    >>> ms.warmup(gates=["softmax"], experts=["gaussian"]).seconds > 0
    True
    """
    began, before = perf_counter(), tally()
    kept_in().mkdir(parents=True, exist_ok=True)
    models = [MixtureOfExperts(gate=gate, n_experts=N_EXPERTS) for gate in _listed("gates", gates)]
    models += [MixtureOfExperts(expert=expert, n_experts=N_EXPERTS) for expert in _listed("experts", experts)]
    with reporting(progress, "component") as report, warnings.catch_warnings():
        warnings.simplefilter("ignore", MoestatWarning)
        for number, model in enumerate(models):
            report("kernels", number, len(models))
            _use(model)
        report("kernels", len(models), len(models))
    now = tally()
    return Warmth(now.compiled - before.compiled, now.loaded - before.loaded, perf_counter() - began, kept_in())


def _listed(name: str, components: Any) -> Sequence[Any]:
    if isinstance(components, str) or not isinstance(components, Sequence):
        raise InputError(f"{name} must be a list, as ['softmax', 'laplace']; got {components!r}.")
    return components


def _use(model: MixtureOfExperts) -> None:
    """Fit a few rows in all ways that the model has, and ask the results for all they know."""
    X, y, known = _rows(model.expert)
    refusals = []
    for way in WAYS:
        try:
            results = fit(model, X, y, n_starts=1, **way, **known)
            _ask(results, X, y, known)
            if way.get("objective") == "likelihood" and not known:
                prepare(model, X, y).fit(X, y, start=results.params)
        except InputError as error:  # some gates have no density, some experts no mean
            refusals.append(error)
    if len(refusals) == len(WAYS):
        raise refusals[0]


def _rows(expert: Expert) -> tuple[Any, Any, dict[str, Any]]:
    """Covariates, a response that the family takes, and what else it needs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2))
    y = 1.0 + rng.poisson(np.exp(X[:, 0] * np.where(rng.random(N_ROWS) < 0.5, 1.0, -1.0)))
    known = {"exposure": np.full(N_ROWS, y.max())} if expert.name == "binomial" else {}
    if expert.categorical:
        return X, np.minimum(y, 3.0), known
    return X, (y if expert.discrete else y + rng.random(N_ROWS)), known


def _ask(results: Results, X: Any, y: Any, known: dict[str, Any]) -> None:
    """All that results compute of rows."""
    questions: tuple[Callable[[], Any], ...] = (
        lambda: results.cov_params(results.kinds[-1], allow_singular=True),
        lambda: results.predict(X, **known),
        lambda: results.gate_weights(X),
        lambda: results.responsibilities(X, y, **known),
        lambda: results.sample(X, rng=np.random.default_rng(0), **known),
        lambda: results.get_prediction(X, **known),
        lambda: results.get_gate_weights(X),
    )
    for question in questions:
        with suppress(MoestatError):  # what cannot be answered was asked for its kernels
            question()
