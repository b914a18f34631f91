"""The regression function of a mixture of experts, as a model of its own: what least squares fit.

    m(x) = sum_k pi_k(x) mu_k(x)

Of the experts their means are left, and of the rows their residuals. Nothing is said about the law of the response.
[Nguyen, Ho and Rinaldo 2024, arXiv 2402.02952 (softmax); 2405.13997 (sigmoid); Le et al. 2024, arXiv 2405.14124]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from moestat.coordinates import Coordinates
from moestat.data import BlockSource, Schema
from moestat.errors import InputError
from moestat.experts.mean_map import mean_map
from moestat.model import MixtureOfExperts, MoEParams
from moestat.squares import MeanTerms, SquaresPasses
from moestat.terms import Terms, Tile
from moestat.typing import FloatArray, IntArray

NO_LAW = (
    "least squares fit the conditional mean and know no law of the response, so {what}. "
    "For one, fit with objective='likelihood'."
)


class RegressionFunction(MixtureOfExperts):
    """Conditional mean ``m(x) = sum_k pi_k(z) mu_k(x)`` of a mixture of experts.

    Parameters
    ----------
    whole : MixtureOfExperts
        The model whose gate and means it has. Fields that no mean depends on, such as variances, are left out.

    Raises
    ------
    InputError
        For class labels, several responses, and a gate that is a law of its covariates as well.
    """

    whole: MixtureOfExperts

    def __init__(self, whole: MixtureOfExperts) -> None:
        whole = whole.whole if isinstance(whole, RegressionFunction) else whole
        _check(whole)
        super().__init__(gate=whole.gate, expert=mean_map(whole.expert), n_experts=whole.n_experts, fixed=whole.fixed)
        object.__setattr__(self, "whole", whole)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(RegressionFunction, self.whole), ()

    def terms(self, schema: Schema, coordinates: Coordinates | None = None) -> Terms:
        return MeanTerms.of(self.gate, self.expert, self.layout(schema), coordinates)

    def passes(self, source: BlockSource) -> SquaresPasses:
        return SquaresPasses(self.terms(source.schema, source.coordinates), source)

    @property
    def _shifts_response(self) -> bool:
        # a number added to every mean is added to their sum once, if the weights sum to one
        return self.expert.shifts_response and self.gate.sums_to_one

    def check_fields(self, schema: Schema, given: Mapping[str, Iterable[str]]) -> None:
        known, means = ({path for path, _, _ in model.layout(schema).leaves()} for model in (self.whole, self))
        for argument, paths in given.items():
            idle = sorted(set(paths) & (known - means))
            if idle:
                raise InputError(
                    f"{argument} names {', '.join(idle)}, which no mean depends on: least squares do not fit it. "
                    "Leave it out."
                )

    # ------------------------------------------------------------------------------- what needs a law
    def source_loglik(self, params: MoEParams, source: BlockSource) -> float:
        raise InputError(NO_LAW.format(what="there is no likelihood"))

    def evaluate(self, *args: Any, **options: Any) -> Tile:
        raise InputError(NO_LAW.format(what="there are no responsibilities"))

    def log_density(self, *args: Any, **options: Any) -> FloatArray:
        raise InputError(NO_LAW.format(what="there is no density"))

    def sample(self, *args: Any, **options: Any) -> FloatArray:
        raise InputError(NO_LAW.format(what="nothing can be drawn"))

    def sample_with_experts(self, *args: Any, **options: Any) -> tuple[FloatArray, IntArray]:
        raise InputError(NO_LAW.format(what="nothing can be drawn"))


def _check(model: MixtureOfExperts) -> None:
    if model.expert.categorical:
        raise InputError(
            f"least squares need a numeric response; the {model.expert.name} expert describes class labels. "
            "Fit it with objective='likelihood'."
        )
    if model.expert.several_responses:
        raise InputError(
            f"least squares fit one response; the {model.expert.name} expert describes several. Take 'gaussian', "
            "one column of y at a time."
        )
    if not model.expert.has_mean:
        raise InputError(
            f"least squares fit means, and not every law of {model.expert!r} has one. Take another expert, or fit with "
            "objective='likelihood'."
        )
    if not model.gate.normalised:
        raise InputError(
            f"least squares fit the mean of y given x; the {model.gate.name} gate, as it is set, is the law of the "
            "covariates as well. Take its conditional form, or fit it with objective='likelihood'."
        )
