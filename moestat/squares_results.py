"""What a least squares fit returns: a mean, its residuals, and nothing that would need a law of the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from moestat.data import BlockSource
from moestat.errors import InputError
from moestat.inference.covariance import SQUARES_KINDS, Kind
from moestat.regression import NO_LAW
from moestat.results import Results
from moestat.solvers import Problem
from moestat.squares import SquaresPasses
from moestat.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

LLF = (
    "a least squares fit has a sum of squares, results.rss, and no likelihood, so {what} not defined. Compare fits of "
    "one response by rss and rsquared on rows kept aside, or fit with objective='likelihood'."
)


@dataclass(frozen=True, eq=False, repr=False)
class LeastSquaresResults(Results):
    """A regression function fitted by least squares: estimates, their uncertainty, and the certificate of the optimum.

    Made by `moestat.fit` with ``objective="least_squares"``. As `Results`, without what needs a law of the response.

    Attributes
    ----------
    rss : float
        Sum of weighted squared residuals, in the user's units.
    tss : float
        The same about the weighted mean of the response less its offset.

    Notes
    -----
    Covariances (``kind``): ``"sandwich"``, the default, holds for variances that differ from row to row and for a mean
    that is only the best approximation [White 1981]; ``"hc1"`` multiplies it by n / (n - p); ``"classical"`` is
    ``scale * inv(J'J)``, for rows of one variance. Weights are frequencies. Experts' masses are sums of gate weights.

    References
    ----------
    White (1981), Consequences and detection of misspecified nonlinear regression models, JASA 76.
    """

    rss: float = np.nan
    tss: float = np.nan
    _stored_slopes: FloatArray | None = field(default=None, repr=False)

    has_density: ClassVar[bool] = False
    objective: ClassVar[str] = "least_squares"
    kinds: ClassVar[tuple[str, ...]] = tuple(SQUARES_KINDS)
    _covariances: ClassVar[Mapping[str, Kind]] = SQUARES_KINDS

    @classmethod
    def _facts(cls, problem: Problem, theta: FloatArray) -> dict[str, Any]:
        source, passes = problem.passes.source, problem.passes
        assert isinstance(passes, SquaresPasses)
        unit = float(source.coordinates.y.scale[0]) ** 2
        return {"rss": unit * passes.rss(theta), "tss": unit * _about_the_mean(source)}

    # ------------------------------------------------------------------------------- how well it fits
    @property
    def _level(self) -> str:
        return f"rss={self.rss:.6g}"

    @property
    def rsquared(self) -> float:
        """1 - rss / tss."""
        return 1.0 - self.rss / self.tss if self.tss > 0 else np.nan

    @property
    def scale(self) -> float:
        """Variance of the residuals, rss / df_resid; NaN where as many parameters as rows leave none."""
        return self.rss / self.df_resid if self.df_resid > 0 else np.nan

    @property
    def headline(self) -> dict[str, str]:
        return {
            "Objective:": "Least squares",
            "Sum of squares:": f"{self.rss:.6g}",
            "R-squared:": f"{self.rsquared:.4g}",
            "Residual std. dev.:": f"{np.sqrt(self.scale):.6g}",
        }

    @property
    def in_short(self) -> str:
        return f"sum of squares {self.rss:.8g}, R-squared {self.rsquared:.5g}"

    @property
    def criteria(self) -> dict[str, float]:
        return {"rss": self.rss, "rsquared": self.rsquared, "scale": self.scale}

    @property
    def llf(self) -> float:
        """Refused: a sum of squares is no likelihood."""
        raise InputError(LLF.format(what="llf is"))

    @property
    def aic(self) -> float:
        """Refused; see `llf`."""
        raise InputError(LLF.format(what="AIC is"))

    @property
    def bic(self) -> float:
        """Refused; see `llf`."""
        raise InputError(LLF.format(what="BIC is"))

    @property
    def icl(self) -> float:
        """Refused; see `llf`."""
        raise InputError(LLF.format(what="ICL is"))

    # ------------------------------------------------------------------------------- uncertainty
    @property
    def _slopes(self) -> FloatArray | None:
        if self._stored_slopes is None:
            passes = self.model.passes(self._training())
            assert isinstance(passes, SquaresPasses)
            unit = passes.rss(self.theta) / self.nobs
            object.__setattr__(self, "_stored_slopes", passes.products(self.theta).plain / max(unit, 1e-300))
        return self._stored_slopes

    # ------------------------------------------------------------------------------- evidence
    @property
    def starts(self) -> pd.DataFrame:
        """What became of every start: family, sums of squares after the short run and at its end, kind, solution."""
        table = super().starts
        for old, new in (("loglik_short", "rss_short"), ("loglik", "rss")):
            table[old] = self.certificate.reading(table[old].astype(float))
            table = table.rename(columns={old: new})
        return table

    @property
    def trace(self) -> pd.DataFrame:
        """Iterations of the winning start: method, sum of squares, gradient per row (working units)."""
        table = super().trace
        table["rss"] = self.certificate.reading(table["loglik"] - self.nobs * np.log(self.coordinates.y.scale[0]))
        return table[["method", "rss", "gradient"]]

    # ------------------------------------------------------------------------------- what needs a law
    def shares(self, X: Any, y: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """Each expert's share in rows, (n, K): its gate weights."""
        return self.gate_weights(X, Z)

    def responsibilities(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: what row belongs to which expert, a law of the response would have to say."""
        raise InputError(NO_LAW.format(what="there are no responsibilities; gate_weights(X) are there"))

    def log_density(self, *args: Any, **options: Any) -> NoReturn:
        """Refused."""
        raise InputError(NO_LAW.format(what="there is no density"))

    def density(self, *args: Any, **options: Any) -> NoReturn:
        """Refused."""
        raise InputError(NO_LAW.format(what="there is no density"))

    def sample(self, *args: Any, **options: Any) -> NoReturn:
        """Refused."""
        raise InputError(NO_LAW.format(what="nothing can be drawn"))

    # ------------------------------------------------------------------------------- storage
    @property
    def _stored_facts(self) -> dict[str, float]:
        return {"rss": self.rss, "tss": self.tss}

    @classmethod
    def restored_facts(cls, facts: dict[str, float], arrays: dict[str, FloatArray]) -> dict[str, Any]:
        return {"rss": facts["rss"], "tss": facts["tss"], "_stored_slopes": arrays["slopes"]}


def _about_the_mean(source: BlockSource) -> float:
    """Weighted squares of the response less its offset about their mean, in working units."""
    mean = _total(source, lambda y: y) / source.total_weight
    return _total(source, lambda y: (y - mean) ** 2)


def _total(source: BlockSource, of: Any) -> float:
    values: list[AnyArray] = [block.weight * of(block.Y[0] - block.offset) for block in source.blocks()]
    return float(sum(part.sum() for part in values))


__all__ = ["LeastSquaresResults"]
