"""What theory predicts of a column: the rate, whether it is only a bound, and who showed it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from moestat.errors import InputError
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.recording import DISTANCES
from moestat.montecarlo.study import Study
from moestat.theory import predicted_rate
from moestat.theory.predict import NONE, Prediction
from moestat.theory.rates import Rate

#: Distances of densities that fall like the density's rate; a divergence is of another order.
OF_THE_DENSITY = ("hellinger", "total_variation")

#: Columns of deviations, and the kind of cells that each is about.
EXACT, OVER = "deviation/exact: ", ("deviation/over-covered: ", "mean deviation/over-covered: ")


@dataclass(frozen=True)
class Predicted:
    """A prediction about one column of one fitted model.

    Parameters
    ----------
    rate : Rate or None
        ``None`` where nothing is known.
    bound : bool
        Whether errors may fall faster.
    identified : bool
        Whether the parameters are.
    source : str
        The theorem, how sure it is, and where it stands.
    """

    rate: Rate | None = None
    bound: bool = False
    identified: bool = True
    source: str = ""


def predicted(study: Study, fit: str, column: str) -> Predicted:
    """What the study states of a column of a fitted model, or else what the theory says.

    Losses with the exponents of the papers and with those believed to be sharp have each their own prediction. There is
    none of models with another gate or other experts than the truth's, or with fewer experts, nor of a loss with
    options of its own.
    """
    for stated in study.predictions:
        if stated.measure == column and stated.fit in (None, fit):
            return Predicted(stated.rate, stated.bound, source=stated.source or "stated in the study")
    fitted = study.fit(fit)
    variant = "sharp" if column.startswith("voronoi:sharp") else "published"
    theory = _theory(study, fitted, variant)
    if theory is None:
        return Predicted()
    over = theory.specification == "over"
    if theory.loss == NONE:
        return Predicted(identified=column in (*DISTANCES, GAIN_COLUMN), source=_source(theory))
    rate = _rate(theory, column)
    return Predicted(rate, bound=over, source="" if rate is None else _source(theory))


#: The gain of log-likelihood is identified whatever the parameters are.
GAIN_COLUMN = "gain"


def _rate(theory: Prediction, column: str) -> Rate | None:
    loss = column.partition("/")[0]
    if loss in ("voronoi", "voronoi:published", "voronoi:sharp", "voronoi:raw"):
        return theory.loss  # a sum of terms falls no faster than each of them
    if column in OF_THE_DENSITY:
        return theory.density
    if column.startswith(EXACT):
        return Rate(theory.loss.exponent) if theory.loss and theory.loss.exponent is not None else None
    for prefix in OVER:
        if column.startswith(prefix):
            return theory.rates.get(column.removeprefix(prefix))
    return None


@cache
def _asked(
    gate: object, expert: object, n_experts: int, n_true: int, objective: str, variant: str
) -> Prediction | None:
    try:
        return predicted_rate(
            gate,  # type: ignore[arg-type]
            expert,  # type: ignore[arg-type]
            n_experts=n_experts,
            n_true=n_true,
            objective=objective,
            variant=variant,
        )
    except InputError:
        return None


def _theory(study: Study, fitted: FittedModel, variant: str) -> Prediction | None:
    own, true = fitted.model, study.truth.model
    if type(own.gate) is not type(true.gate) or own.expert != true.expert or own.n_experts < true.n_experts:
        return None
    families = getattr(own.expert, "families", own.expert)
    found = _asked(own.gate, families, own.n_experts, true.n_experts, fitted.objective, variant)
    return found if found is not None and found.known else None


def _source(theory: Prediction) -> str:
    words = [theory.theorem, "" if theory.status is None else theory.status.value, str(theory.source or "")]
    return "; ".join(word for word in words if word)
