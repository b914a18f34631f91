"""Softmax gate, of the covariates or of a transform of them.

    pi_k(x) = exp(beta_1k' M(x) + beta_0k) / sum_l exp(beta_1l' M(x) + beta_0l)

With M(x) = x it is the gate of Jacobs et al. (1991). The modified gate of Nguyen, Akbarian, Nguyen and Ho (2024),
arXiv 2310.14188, has a bounded M that is no polynomial, such as tanh of every covariate: with multinomial experts
some of which ignore the covariates, parameters are then estimated at polynomial rates.

Adding one vector to every slope, or one number to every intercept, changes no weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moestat.activations import ACTIVATIONS, activation_named
from moestat.component import Dilation, Dims
from moestat.coordinates import ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.translated import Translated, log_mass, shifts_of
from moestat.kernels.activations import activate
from moestat.kernels.linear import linear_predictor
from moestat.params import Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray

Transform = Callable[[FloatArray], FloatArray]


@parameters
class SoftmaxParams:
    """Parameters of the softmax gate, defined up to a common translation.

    slopes (K, d) are beta_1 and intercepts (K,) beta_0, both in logits per unit of the covariates.
    """

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")


@dataclass(frozen=True)
class Softmax(Translated):
    """Weights proportional to exp(beta_1k' M(x) + beta_0k).

    Parameters
    ----------
    transform : str or callable, optional
        M, applied to each covariate in the user's units: a name out of `moestat.activations.ACTIVATIONS` (bounded are
        ``tanh``, ``sigmoid``, ``sin``, ``cos``, ``arctan`` and ``softsign``) or a function that maps an array of
        covariates to an array of the same shape, entry by entry. By default there is none. Bounded functions are
        constant far out: bring the covariates near zero first. A fit with a function is saved as any other, and
        loaded with ``ms.load(path, model=...)``.

    References
    ----------
    Jacobs, Jordan, Nowlan and Hinton (1991), Adaptive mixtures of local experts, Neural Computation 3.
    Nguyen, Akbarian, Nguyen and Ho (2024), A general theory for softmax gating multinomial logistic mixture of
    experts, arXiv 2310.14188.
    """

    transform: str | Transform | None = None

    name: ClassVar[str] = "softmax"
    known_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.transform is not None and not callable(self.transform):
            activation_named(self.transform, "transform")

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.transform is None

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.transform is None

    def layout(self, dims: Dims) -> Layout:
        return layout_of(SoftmaxParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def predictors(self, layout: Layout) -> IntArray:
        return self.columns(layout) if self.mixable else super().predictors(layout)

    def linear_logits(self, layout: Layout) -> list[IntArray] | None:
        return list(self.columns(layout)) if self.transform is None else None

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        linear_predictor(local, self.features(block), out)

    def features(self, block: Block) -> FloatArray:
        if self.transform is None:
            return block.Z
        out = np.ones_like(block.Z)
        if callable(self.transform):
            out[1:] = self._called(self.transform, block.Z[1:])
        else:
            activate(ACTIVATIONS[self.transform].code, block.Z[1:].ravel(), out[1:].ravel())
        return out

    @staticmethod
    def _called(transform: Transform, covariates: FloatArray) -> FloatArray:
        try:
            found = np.asarray(transform(covariates.copy()), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"transform must take an array of covariates and return one of the same shape; it fails with {error!r}."
            ) from error
        if found.shape != covariates.shape:
            raise InputError(
                "transform must return an array of the shape that it was given, entry by entry; "
                f"got {found.shape} for {covariates.shape}."
            )
        if not np.isfinite(found).all():
            at = covariates[~np.isfinite(found)][0]
            raise InputError(f"transform must return finite numbers; it does not at the covariate {at:g}.")
        return found

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> SoftmaxParams:
        # flat gates are safe starts: exact gate steps from hard labels separate at once
        return SoftmaxParams(slopes=np.zeros(layout.index("slopes").shape), intercepts=log_mass(resp))

    def shifts(self, layout: Layout) -> dict[str, IntArray]:
        return shifts_of(layout.index("intercepts"), layout.index("slopes"), "slopes on covariate")

    def dilation(self, layout: Layout) -> Dilation:
        return Dilation.linear(layout.size)

    def rescale(self, params: SoftmaxParams, covariates: ColumnMap) -> SoftmaxParams:
        if self.transform is not None:
            raise InputError("the softmax gate of a transform is not equivariant; it keeps raw covariates.")
        return SoftmaxParams(
            slopes=covariates.slopes(params.slopes),
            intercepts=params.intercepts + covariates.gain(params.slopes),
        )
