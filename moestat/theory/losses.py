"""Voronoi losses: how far a fitted mixing measure is from the true one, in the sense of the theorems.

    D(G, G*) = inf_t { sum_j |sum_{i in A_j} m_i - e^{t0} m*_j| + sum_j sum_{i in A_j} m_i sum_terms |Delta_ij|^power }

A_j are the fitted atoms nearest to the true atom j. A true atom with one fitted atom has the norm of the difference,
one that several share has powers of the norms of groups of coordinates (`moestat.theory.entries`). Of each gate the
translations t are those that change no weight. Under a hierarchy |Delta_ij| of two groups includes the loss between
their own measures.

Published forms differ in what they leave open: how fitted masses, which the density determines up to a factor, are
compared with true ones; what is shifted; where cells are built. Each is an option, and the defaults make the loss a
function of the density: fitted masses are first matched to the true total, t0 then moves the truth's, and cells are
built after every shift. The infimum over shifts is found by `moestat.theory.search`.

Limits. With one expert only differences of its own parameters remain. With one atom in every cell the loss is that of
exact specification. A true atom without fitted ones counts by its mass alone. With fewer fitted atoms than true ones
some cells are empty, and the loss is bounded below by their masses. The infimum over t0 may be at minus infinity,
where most of the truth's mass has no fitted atoms; the sum of masses is then that of the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.theory import search
from moestat.theory.kinds import are_alike
from moestat.theory.measure import MixingMeasure
from moestat.theory.options import Options
from moestat.theory.pairs import Pair, masses_of, numbers_of, scaled
from moestat.theory.units import all_in_common_units, in_common_units
from moestat.typing import FloatArray


def voronoi_loss(
    fitted: MixingMeasure | Sequence[MixingMeasure],
    truth: MixingMeasure,
    *,
    variant: str = "published",
    mass: str = "matched",
    translation: str = "truth",
    cells: str = "aligned",
    cell_metric: str = "euclidean",
    norm: str = "joint",
    scale: str = "variance",
    coordinates: str = "standardised",
    r: float = 1.0,
    parts: bool = False,
) -> Any:
    """The Voronoi loss between a fitted mixing measure and the true one.

    Parameters
    ----------
    fitted : MixingMeasure, or a sequence of them
        Any number of atoms. Of a sequence, with atoms of one number, come as many losses, much faster than one by one.
    truth : MixingMeasure
        Its gate and its expert decide the exponents; it carries the moments of the covariates.
    variant : {"published", "sharp", "merged"}
        Exponents of the papers; those that moestat expects to be the true ones, which differ under softmax gates alone
        (derived, not proved: 2 for slopes of gate and experts); or the published ones with the merged atom of every
        over-covered cell, at first order, beside them [arXiv 2510.12744; the form of these terms is recalled, not
        verified].
    mass : {"matched", "raw"}
        Whether fitted masses are scaled to the true total first.
    translation : {"truth", "fitted", "none"}
        Whose masses t0 moves. With "none" nothing is translated, slopes neither.
    cells : {"aligned", "fixed", "experts"}
        Cells built after every translation, without one, or from the coordinates of the experts alone.
    cell_metric : {"euclidean", "absolute"}
        Distance between atoms: the length, or the sum of absolute differences.
    norm : {"joint", "separate"}
        One norm of all coordinates with one exponent, or a norm for each.
    scale : {"variance", "sd"}
        Whether variances are compared, or their roots.
    coordinates : {"standardised", "raw"}
        Units of the covariates: by the moments of the truth, or the user's.
    r : float
        The exponent, at least 1, of losses that are a family: those of a temperature round homogeneous logits, and of
        multinomial experts with constant ones among them.
    parts : bool
        Whether to return every summand.

    Returns
    -------
    float, ndarray (R,) or LossParts

    Raises
    ------
    InputError
        When the measures have different atoms, when no loss is known for gate or expert, or when standard units are
        asked for and the truth carries no moments.

    Notes
    -----
    The loss is in the units of the truth's masses as they are given: a truth with twice the masses has twice the loss.

    With at least twice as many fitted experts as true ones a gate with linear logits is not identified: every true atom
    may be split into a pair with slopes beta_1 + u and beta_1 - u, for one u, and no weight changes. The loss does.

    References
    ----------
    Nguyen, Nguyen and Ho (2023), Demystifying softmax gating function in Gaussian mixture of experts, arXiv 2305.03288.
    """
    chosen = Options(variant, mass, translation, cells, cell_metric, norm, scale, coordinates, r)
    if not isinstance(truth, MixingMeasure):
        raise InputError(f"truth must be a MixingMeasure, made by mixing_measure; got {type(truth).__name__}.")
    if isinstance(fitted, MixingMeasure):
        found = Pair.of(*in_common_units(fitted, truth, chosen.coordinates), chosen).solve()
        return found.parts() if parts else found.loss
    if not isinstance(fitted, Sequence):
        raise InputError(
            f"fitted must be a MixingMeasure, or a list of them; got {type(fitted).__name__}. Make one of a fit by "
            "mixing_measure(results)."
        )
    if parts:
        raise InputError("parts=True takes one fitted measure; got several. Call it for each of them.")
    return _many(list(fitted), truth, chosen)


def _many(fitted: list[MixingMeasure], truth: MixingMeasure, options: Options) -> FloatArray:
    """Losses of many fits of one size, by one compiled call; of hierarchies and of several families one by one."""
    if not fitted:
        return np.zeros(0)
    reference = truth.standardised() if options.coordinates == "standardised" and truth.units is None else truth
    pairs = all_in_common_units(fitted, reference, options.coordinates)
    first = Pair.of(pairs[0], reference, options)
    alike = all(one.size == first.fitted.size and are_alike(one, reference) for one in pairs)
    if reference.inner or not alike or np.isnan(reference.atoms).any():
        return np.array([Pair.of(one, reference, options).solve().loss for one in pairs])
    masses, true_masses, units = masses_of(
        np.stack([one.log_masses for one in pairs]), reference.log_masses, options.mass
    )
    atoms = np.stack([one.atoms for one in pairs])
    if options.scale == "sd":
        atoms = np.stack([numbers_of(one, reference, options.scale)[0] for one in pairs])
    values = search.infima(first.rules, atoms, masses, first.sides.truth, true_masses)
    return scaled(values, units)
