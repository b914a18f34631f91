"""A known density, not estimated.

    f_k(y | x) = f0(y - loc - slopes' x - centre(x)),   f0 a law of scipy.stats with given shapes and scale

Beside an estimated family it makes the contaminated mixture, where a pre-trained model or a stated background is one
of the experts and only the others are learnt [Yan et al. 2025, arXiv 2505.18455].
There is nothing to estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from typing import Any, ClassVar

import numpy as np
import scipy  # scipy.stats takes half a second, and loads where it is first named

from moestat.coordinates import Affine, Coordinates
from moestat.data import Block, BlockSource
from moestat.errors import InputError
from moestat.experts.counts import check_counts
from moestat.experts.parameterless import ParameterlessExpert
from moestat.spelling import suggestion
from moestat.typing import FloatArray, IntArray

#: Names beside those of scipy.stats.
ALIASES = {"normal": "norm", "gaussian": "norm", "exponential": "expon", "student": "t"}


@dataclass(frozen=True)
class Known(ParameterlessExpert):
    """A law with given parameters about a given mean function.

    Parameters
    ----------
    law : str or frozen distribution of scipy.stats
        Name of a distribution, such as ``"normal"``, ``"laplace"``, ``"t"``, ``"poisson"``; or
        ``scipy.stats.norm(0, 2)``, which brings its shapes, loc and scale along.
    loc, scale : float
        Where the law stands, and how wide it is, in the units of the response.
    shapes : tuple of float
        Further parameters in scipy's order: ``known('t', shapes=(3,))``.
    slopes : tuple of float
        Known slopes on the experts' covariates, in the user's units, one each; the law is about loc + slopes' x.
    centre : callable, optional
        A function of the covariates (n, d) that gives locations (n,), such as a fitted model's ``predict``. Such an
        expert cannot be written as text: to load a fit, pass the model.

    References
    ----------
    Yan et al. (2025), On minimax estimation of parameters in softmax-contaminated mixture of experts, NeurIPS,
    arXiv 2505.18455.
    """

    law: Any = "normal"
    loc: float = 0.0
    scale: float = 1.0
    shapes: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()
    centre: Callable[[FloatArray], Any] | None = None
    at: Coordinates | None = field(default=None, repr=False, compare=False)

    name: ClassVar[str] = "known"

    def __post_init__(self) -> None:
        if isinstance(self.law, scipy.stats.distributions.rv_frozen):
            self._take_frozen(self.law)
        if not isinstance(self.law, str) or not _is_law(_named(self.law)):
            raise InputError(
                f"law must name a distribution of scipy.stats, or be a frozen one; got {self.law!r}."
                f"{suggestion(self.law, [*ALIASES, *_names()]) if isinstance(self.law, str) else ''}"
            )
        for name in ("shapes", "slopes"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if self.centre is not None and not callable(self.centre):
            raise InputError(f"centre must be a function of the covariates; got {self.centre!r}.")
        self._check_numbers()

    def _take_frozen(self, law: Any) -> None:
        if (self.loc, self.scale, self.shapes) != (0.0, 1.0, ()):
            raise InputError("a frozen law brings its loc, scale and shapes along; leave these out.")
        shapes, loc, scale = law.dist._parse_args(*law.args, **law.kwds)
        for name, value in {"law": law.dist.name, "shapes": shapes, "loc": float(loc), "scale": float(scale)}.items():
            object.__setattr__(self, name, value)

    def _check_numbers(self) -> None:
        for name in ("loc", "scale"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
                raise InputError(f"{name} must be a finite number; got {value!r}.")
        wanted = self._dist.numargs
        if len(self.shapes) != wanted:
            raise InputError(f"shapes must be the {wanted} of {self.law!r}, {self._dist.shapes}; got {self.shapes}.")
        valid = self.scale > 0 and (not wanted or self._dist._argcheck(*self.shapes))
        if not valid:
            raise InputError(
                f"{self.law!r} has no such parameters: shapes={self.shapes}, loc={self.loc}, scale={self.scale}."
            )
        if self.discrete and (self.scale != 1 or self.loc != int(self.loc) or self.slopes or self.centre):
            raise InputError(f"{self.law!r} is a law of counts: it can be shifted by a whole number, and that is all.")

    @property
    def _dist(self) -> Any:
        return _named(self.law)

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return isinstance(self._dist, scipy.stats.rv_discrete)

    @property
    def has_mean(self) -> bool:  # type: ignore[override]
        return bool(np.isfinite(self._dist.mean(*self.shapes)))

    @property
    def scales_response(self) -> bool:  # type: ignore[override]
        return not self.discrete

    def placed(self, coordinates: Coordinates) -> Known:
        return with_fields(self, at=coordinates)

    def check_beside(self, source: BlockSource) -> None:
        super().check_beside(source)
        if self.discrete:
            check_counts(f"known {self.law}", source)
        features = source.schema.features
        if self.slopes and len(self.slopes) != len(features):
            raise InputError(
                f"slopes must be one per covariate of the experts, {list(features)}; got {len(self.slopes)}."
            )

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        units = self._response
        density = self._dist.logpmf if self.discrete else self._dist.logpdf
        z = (units.inverse().apply(block.Y.T)[:, 0] - self._location(block)) / self.scale
        out[:] = density(z, *self.shapes) - np.log(self.scale / units.scale[0])

    @property
    def _response(self) -> Affine:
        return Affine.identity(1) if self.at is None else self.at.y

    def _location(self, block: Block) -> FloatArray:
        """Where the law stands in each row (B,), in the user's units."""
        out = np.full(block.weight.size, float(self.loc))
        if not self.slopes and self.centre is None:
            return out
        covariates = block.X[1:].T if self.at is None else self.at.X.restore(block.X[1:].T)
        if self.slopes:
            out += covariates @ np.array(self.slopes)
        if self.centre is not None:
            given = np.asarray(self.centre(covariates), dtype=np.float64)
            if given.shape != out.shape:
                raise InputError(f"centre must give one number per row, {out.shape}; it gave shape {given.shape}.")
            out += given
        return out

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        raw = self._location(block) + self.scale * float(self._dist.mean(*self.shapes))
        return np.repeat(self._response.apply(raw[:, None]).T, len(local), axis=0)

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        raw = self._response.inverse().apply(y[:, None])[:, 0]
        below = self._dist.cdf((raw - self._location(block)) / self.scale, *self.shapes)
        return np.repeat(np.asarray(below)[None], len(local), axis=0)

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        drawn = self._dist.rvs(*self.shapes, size=chosen.size, random_state=rng)
        raw = self._location(block) + self.scale * drawn
        return np.ascontiguousarray(self._response.apply(raw[:, None]).T)


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in np.atleast_1d(np.asarray(value, dtype=np.float64)))
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers, as (1.0, 2.0); got {value!r}.") from None


def _is_law(value: Any) -> bool:
    return isinstance(value, scipy.stats.rv_continuous | scipy.stats.rv_discrete)


def _named(name: str) -> Any:
    return getattr(scipy.stats, ALIASES.get(name, name), None)


def _names() -> list[str]:
    return [name for name in dir(scipy.stats) if _is_law(_named(name))]
