"""What theory predicts of a column: the rate, whether it is only a bound, and who showed it.

A theorem is about a truth that the model holds, at a point where it is identified, and about one estimator. Where a
study leaves that, nothing is predicted, and the reason is said.
"""

from __future__ import annotations

from ast import literal_eval
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.protocols import MLE
from moestat.montecarlo.recording import DISTANCES, GAIN
from moestat.montecarlo.study import Study
from moestat.montecarlo.truth import Truth
from moestat.theory import mixing_measure, predicted_rate
from moestat.theory.predict import NONE, Prediction
from moestat.theory.rates import Rate

#: Distances of densities that fall like the density's rate; a divergence is of another order.
OF_THE_DENSITY = ("hellinger", "total_variation")

#: Columns of deviations, and the kind of cells that each is about.
EXACT, OVER = "deviation/exact: ", ("deviation/over-covered: ", "mean deviation/over-covered: ")

#: Cases of theorems that the parameters of the truth decide: what holds generally, and otherwise.
VANISHING = ("every expert depends on the covariates", "some expert's slopes vanish")
CENTRES = ("all centres differ from zero", "some centre is zero")
#: Cases that are not told from parameters here.
UNTOLD = ("sparse", "dense", "distinguishable", "not distinguishable", "regime 1", "regime 2")


@dataclass(frozen=True)
class Predicted:
    """A prediction about one column of one fitted model under one protocol.

    Parameters
    ----------
    rate : Rate or None
        ``None`` where nothing is known.
    bound : bool
        Whether errors may fall faster.
    identified : bool
        Whether the parameters are.
    source : str
        The theorem, how sure it is, and where it stands; or why there is none.
    note : str
        What a verdict should say beside it.
    """

    rate: Rate | None = None
    bound: bool = False
    identified: bool = True
    source: str = ""
    note: str = ""


def predicted(study: Study, fit: str, protocol: str, column: str) -> Predicted:
    """What the study states of a column of a fitted model, or else what the theory says.

    Losses with the exponents of the papers and with those believed to be sharp have each their own prediction. There is
    none of models that do not hold the truth, nor of a loss with options of its own.
    """
    for stated in study.predictions:
        if stated.measure == column and stated.fit in (None, fit):
            return Predicted(stated.rate, stated.bound, source=stated.source or "stated in the study")
    fitted = study.fit(fit)
    if reason := _outside(study.truth, fitted):
        return Predicted(source=f"no theorem: {reason}")
    variant = "sharp" if column.startswith("voronoi:sharp") else "published"
    theory = _theory(study.truth, fitted, variant)
    if isinstance(theory, str):
        return Predicted(source=theory)
    if theory.loss == NONE:
        return Predicted(identified=column in (*DISTANCES, GAIN), source=_source(theory))
    rate = _rate(theory, column)
    if rate is None:
        return Predicted()
    own = isinstance(study.protocol(protocol), MLE) or fitted.objective != "likelihood"
    note = "" if own else "the theorem is about the maximum likelihood estimate, which this protocol need not reach"
    return Predicted(rate, bound=theory.specification == "over", source=_source(theory), note=note)


def _rate(theory: Prediction, column: str) -> Rate | None:
    loss = column.partition("/")[0]
    if loss in ("voronoi", "voronoi:published", "voronoi:sharp", "voronoi:raw") or column.startswith(EXACT):
        return theory.loss  # a sum of terms falls no faster than each of them
    if column in OF_THE_DENSITY:
        return theory.density
    for prefix in OVER:
        if column.startswith(prefix):
            return theory.rates.get(column.removeprefix(prefix))
    return None


# --------------------------------------------------------------------------------------- does a theorem apply
def _outside(truth: Truth, fitted: FittedModel) -> str:
    """Why no theorem is about this fit, if none is."""
    own, true = fitted.model, truth.model
    if type(own.gate) is not type(true.gate) or own.expert != true.expert:
        return "the model has another gate, or other experts, than the truth"
    if own.n_experts < true.n_experts:
        return "the model has fewer experts than the truth"
    if truth.noise_sd is not None and fitted.objective == "likelihood":
        return "the response is not drawn from the model's density"
    if outside := sorted(path for path in fitted.bounds or {} if not _within(truth, fitted, path)):
        return f"the truth lies outside the bounds of {', '.join(outside)}"
    if held := sorted(path for path in own.fixed or {} if not _held_at_truth(truth, fitted, path)):
        return f"the model holds {', '.join(held)} elsewhere than the truth"
    if _coincide(truth):
        return "two experts of the truth are the same, so that it has fewer experts than it says"
    return ""


def _within(truth: Truth, fitted: FittedModel, path: str) -> bool:
    """Whether a field of the truth lies within bounds; of a gate's logits differences count, which any shift leaves."""
    values = _field(truth, path)
    if values is None:
        return True
    lower, upper = (np.asarray(end) for end in fitted.checked_bounds(truth.schema)[path])
    low, high = float(lower.max()), float(upper.min())
    if path in ("gate.slopes", "gate.intercepts"):
        spread = values.max(axis=0) - values.min(axis=0)
        return bool((spread <= high - low).all())
    return bool((values >= low).all() and (values <= high).all())


def _held_at_truth(truth: Truth, fitted: FittedModel, path: str) -> bool:
    values = _field(truth, path)
    held = np.asarray((fitted.model.fixed or {})[path], dtype=np.float64)
    return values is not None and held.size in (1, values.size) and bool(np.allclose(values.ravel(), held.ravel()))


def _field(truth: Truth, path: str) -> Any:
    """A field of the true parameters as an array, or None where the truth has no such field."""
    found: Any = truth.params
    for name in path.split("."):
        found = getattr(found, name, None)
    return None if found is None else np.asarray(found, dtype=np.float64)


def _coincide(truth: Truth) -> bool:
    """Whether two experts of the truth have equal coordinates."""
    measure = mixing_measure(truth.model, truth.params)
    different = np.unique(np.nan_to_num(measure.atoms), axis=0)
    return not measure.inner and bool(measure.atoms.size) and len(different) < measure.size


# --------------------------------------------------------------------------------------- theory
def _theory(truth: Truth, fitted: FittedModel, variant: str) -> Prediction | str:
    """The prediction, in the case that the truth is of; or why there is none."""
    families = getattr(fitted.model.expert, "families", fitted.model.expert)
    asked = (fitted.model.gate, families, fitted.model.n_experts, truth.model.n_experts, fitted.objective, variant)
    general = _asked(*asked, None)
    if general is None or not general.known:
        return ""
    cases = _cases(general)
    if cases & set(UNTOLD):
        return f"no theorem: there are several cases, {sorted(cases)}; state the rate of yours in [[prediction]]"
    for (usual, special), holds in ((VANISHING, _slopes_vanish), (CENTRES, _centre_is_zero)):
        if special in cases:
            return _asked(*asked, special if holds(truth) else usual) or general
    return general


def _cases(theory: Prediction) -> set[str]:
    """The cases that a theorem tells apart, by their names."""
    told = (text.removeprefix("regime=") for text in theory.others if text.startswith("regime="))
    return {theory.regime, *(str(literal_eval(text)) for text in told)}


def _slopes_vanish(truth: Truth) -> bool:
    """Whether some expert does not depend on the covariates."""
    slopes = _field(truth, "expert.slopes")
    return slopes is not None and bool((slopes.reshape(len(slopes), -1) == 0.0).all(axis=1).any())


def _centre_is_zero(truth: Truth) -> bool:
    centres = _field(truth, "gate.centres")
    centres = _field(truth, "gate.means") if centres is None else centres
    return centres is not None and bool((centres.reshape(len(centres), -1) == 0.0).all(axis=1).any())


@cache
def _asked(
    gate: Any, expert: Any, n_experts: int, n_true: int, objective: str, variant: str, regime: str | None
) -> Prediction | None:
    try:
        return predicted_rate(
            gate, expert, n_experts=n_experts, n_true=n_true, objective=objective, variant=variant, regime=regime
        )
    except InputError:
        return None


def _source(theory: Prediction) -> str:
    words = [theory.theorem, "" if theory.status is None else theory.status.value, str(theory.source or "")]
    return "; ".join(word for word in words if word)
