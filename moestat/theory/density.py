"""Distances between the conditional densities of a fit and of a truth, averaged over the covariates.

    total variation      E_X 1/2 int |p - q| dy
    Hellinger            E_X { 1/2 int (sqrt p - sqrt q)^2 dy }^{1/2}
    Kullback-Leibler     E_X int p log(p / q) dy,    p the truth

These are what theorems on densities bound; the first two lie between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.model import MixtureOfExperts, MoEParams
from moestat.theory import divergences
from moestat.theory.averaging import Nodes, nodes_of
from moestat.theory.divergences import Integrand, Law
from moestat.theory.measure import MixingMeasure
from moestat.typing import FloatArray


@dataclass(frozen=True)
class Distance:
    """A distance of densities, and how exact it is.

    Attributes
    ----------
    value : float
    error : float
        Of draws the standard error; of a rule what changes when it has half as many panels per covariate; 0 of sums.
    method : {"quadrature", "sum", "monte carlo"}
        How the covariates, and the response, were averaged over: the least exact of the two.
    """

    value: float
    error: float
    method: str

    def __float__(self) -> float:
        return self.value


def hellinger(fitted: Any, truth: Any, covariates: Any = "uniform", *, n_draws: int = 4000, seed: int = 0) -> Distance:
    """Mean over the covariates of the Hellinger distance between conditional densities.

    Parameters
    ----------
    fitted, truth : Results, MixingMeasure or tuple (model, params)
        A mixing measure stands for the parameters it was made of.
    covariates : {"uniform", "normal"}, array-like (n, d) or callable
        Independent covariates, uniform on (0, 1) or standard normal; rows to average over; or ``(rng, n)`` that draws
        rows. Gate and experts see the same ones.
    n_draws : int
        How many covariates are drawn, where they are: from a function, and from a law of three covariates or more.
    seed : int

    Returns
    -------
    Distance

    Raises
    ------
    InputError
        When the models differ in covariates or response, or weights that are no density's.

    Notes
    -----
    One or two covariates have a Gauss rule. Normal responses are integrated, classes and counts summed; of other
    responses 400 are drawn for each row, which makes a Hellinger distance too small by about a thousandth of itself.
    """
    return _averaged(fitted, truth, covariates, divergences.squared_hellinger, n_draws, seed, root=True)


def total_variation(
    fitted: Any, truth: Any, covariates: Any = "uniform", *, n_draws: int = 4000, seed: int = 0
) -> Distance:
    """Mean over the covariates of the total variation distance between conditional densities; see `hellinger`."""
    return _averaged(fitted, truth, covariates, divergences.total_variation, n_draws, seed)


def kullback_leibler(
    fitted: Any, truth: Any, covariates: Any = "uniform", *, n_draws: int = 4000, seed: int = 0
) -> Distance:
    """Mean over the covariates of the divergence of the fit from the truth [Kullback and Leibler], in nats.

    Arguments are those of `hellinger`. It is infinite where the fit has no density and the truth has.
    """
    return _averaged(fitted, truth, covariates, divergences.kullback_leibler, n_draws, seed)


def _averaged(
    fitted: Any, truth: Any, covariates: Any, integrand: Integrand, n_draws: int, seed: int, root: bool = False
) -> Distance:
    if isinstance(n_draws, bool) or not isinstance(n_draws, int | np.integer) or n_draws < 2:
        raise InputError(f"n_draws must be a whole number of at least 2; got {n_draws!r}.")
    p, q = _law("truth", truth), _law("fitted", fitted)
    d = _check_alike(p, q)
    rng = np.random.default_rng(seed)
    nodes = nodes_of(covariates, d, int(n_draws), rng)
    found = divergences.divergences(p, q, nodes.X, integrand, rng)
    each, noise = _each(found, root)
    value = float(nodes.weights @ each)
    if nodes.drawn:  # which includes what draws of the response add
        return Distance(value, float(each.std(ddof=1)) / sqrt(len(each)), "monte carlo")
    if noise is not None:
        return Distance(value, float(np.sqrt((nodes.weights**2 * noise).sum())), "monte carlo")
    if not isinstance(covariates, str) or d == 0:
        return Distance(value, 0.0, "sum" if p.model.expert.categorical or p.model.expert.discrete else "quadrature")
    finer = _finer(p, q, covariates, d, integrand, rng, root)
    return Distance(finer, abs(finer - value), "quadrature")


def _finer(p: Law, q: Law, law: str, d: int, integrand: Integrand, rng: np.random.Generator, root: bool) -> float:
    nodes: Nodes = nodes_of(law, d, 0, rng, finer=2)
    return float(nodes.weights @ _each(divergences.divergences(p, q, nodes.X, integrand, rng), root)[0])


def _each(found: FloatArray, root: bool) -> tuple[FloatArray, FloatArray | None]:
    """The distance at every row (n,), and the variance of what was drawn."""
    noise = None
    if found.ndim == 2:
        noise = found.var(axis=1, ddof=1) / found.shape[1]
        found = found.mean(axis=1)
    if not root:
        return found, noise
    each = np.sqrt(found)
    return each, None if noise is None else noise / np.maximum(4.0 * found, 1e-300)


def _law(name: str, given: Any) -> Law:
    if isinstance(given, MixingMeasure):
        if given.origin is None:
            raise InputError(f"{name} is a measure of merged or moved atoms, which has no model; pass (model, params).")
        return Law(*given.origin)
    if isinstance(given, tuple) and len(given) == 2:
        model, params = given
    else:
        model, params = getattr(given, "model", None), getattr(given, "params", None)
    if not isinstance(model, MixtureOfExperts) or not isinstance(params, MoEParams):
        raise InputError(
            f"{name} must be a fit, a mixing measure or a pair (model, params); got {type(given).__name__}."
        )
    model.gate.check_density()
    return Law(model, params)


def _check_alike(p: Law, q: Law) -> int:
    """The number of covariates that both models have."""
    schemas = [law.model.schema_of(law.params) for law in (p, q)]
    for what in ("features", "gate_features", "responses"):
        sizes = [len(getattr(schema, what)) for schema in schemas]
        if sizes[0] != sizes[1]:
            raise InputError(f"fitted and truth must have the same numbers of {what}; got {sizes[1]} and {sizes[0]}.")
    if len(schemas[0].features) != len(schemas[0].gate_features):
        raise InputError(
            f"gate and experts must see the same covariates; got {len(schemas[0].gate_features)} and "
            f"{len(schemas[0].features)} of them."
        )
    kinds = [(law.model.expert.categorical, law.model.expert.discrete) for law in (p, q)]
    if kinds[0] != kinds[1]:
        raise InputError("fitted and truth must describe the same kind of response: numbers, counts or classes.")
    return len(schemas[0].features)
