"""Rows drawn from a model, with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.datasets.covariates import covariates_of
from moestat.datasets.dataset import quoted
from moestat.datasets.truth import Truth, truth_of
from moestat.errors import InputError
from moestat.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

    from moestat.formula import FormulaModel
    from moestat.model import MixtureOfExperts, MoEParams
    from moestat.results import Results


@dataclass(frozen=True, eq=False, repr=False)
class Simulated:
    """Simulated rows; made by `simulate`.

    Attributes
    ----------
    X, Z : DataFrame
        Covariates of the experts and of the gate.
    y : Series or DataFrame
        Response; a categorical, with all classes in their order, where experts describe classes. A column for each of
        several responses.
    expert : ndarray of int (n,)
        The expert that drew each row, hidden from a fit. Counted from 1, as in parameter names.
    model : MixtureOfExperts
    params : MoEParams
        The truth.
    formula : str
        The model as a formula for `frame`.
    """

    X: pd.DataFrame
    Z: pd.DataFrame
    y: pd.Series[Any] | pd.DataFrame
    expert: IntArray
    model: MixtureOfExperts
    params: MoEParams
    formula: str
    _columns: pd.DataFrame
    _known_terms: Mapping[str, Any]

    @property
    def frame(self) -> pd.DataFrame:
        """Covariates and response, one column each; not the expert."""
        import pandas as pd

        return self._columns.assign(**{str(name): column for name, column in pd.DataFrame(self.y).items()})

    def moe(self) -> FormulaModel:
        """The true model with these rows, to be fitted by ``.fit()``."""
        from moestat.formula import moe

        model = self.model
        return moe(
            self.formula,
            self.frame,
            gate=model.gate,
            expert=getattr(model.expert, "families", model.expert),
            n_experts=model.n_experts,
            fixed=_held_beside(self.formula, model.fixed or {}),
            **self._known_terms,
        )

    def __repr__(self) -> str:
        counts = np.bincount(self.expert, minlength=self.model.n_experts + 1)[1:]
        return f"Simulated({self.formula!r}, {len(self.y)} rows, by expert {counts.tolist()})"


def simulate(
    model: MixtureOfExperts | Results,
    params: MoEParams | None = None,
    n: int | None = None,
    *,
    X: Any = None,
    Z: Any = None,
    covariates: str | Callable[[np.random.Generator, int], Any] | None = None,
    classes: Sequence[Any] | None = None,
    seed: int = 0,
) -> Simulated:
    """Draw rows from a model: covariates, then an expert by the gate, then a response by that expert.

    Parameters
    ----------
    model : MixtureOfExperts or Results
        A fit stands for its model, its estimates, and the names of its columns and classes.
    params : MoEParams, optional
        The truth, from ``model.params(gate=..., expert=...)``; left out when a fit is given.
    n : int, optional
        Number of rows: 1000 when left out, or the rows of X.
    X, Z : array-like or DataFrame, optional
        Covariates of the experts and of the gate to use as they are; Z is X when left out. For a fit by a formula,
        X is a data frame with the columns of the formula. The response of ``log(y) ~ x`` is a column called
        ``log(y)``; the column y of X is left out of the simulated frame, for it holds the old response.
    covariates : {"uniform", "normal"} or callable, optional
        The law of the covariates where X is left out: independent columns, uniform on (0, 1), which is the default,
        or standard normal; or a function ``(rng, n)`` that returns X or the pair (X, Z). A fit needs X or a law.
    classes : sequence, optional
        Labels of the classes, in the order of the parameters; the first is the reference.
        0, 1, ... when left out, or those of the fit.
    seed : int
        The same seed gives the same rows.

    Returns
    -------
    Simulated
        ``.frame``, ``.X``, ``.y``, ``.Z``, the hidden ``.expert``, the truth ``.params``, and ``.moe()`` to fit it.

    Raises
    ------
    InputError
        When parameters, covariates, n and classes do not agree; the message says what to pass.

    Examples
    --------
    >>> import moestat as ms
    >>> model = ms.MixtureOfExperts(n_experts=2)
    >>> truth = model.params(
    ...     gate=dict(slopes=[[4.0], [0.0]], intercepts=[-2.0, 0.0]),
    ...     expert=dict(slopes=[[3.0], [-1.0]], intercepts=[0.0, 1.0], variances=[0.04, 0.09]),
    ... )
    >>> results = ms.datasets.simulate(model, truth, n=500).moe().fit(n_starts=3)
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed must be a whole number, not negative; got {seed!r}.")
    rng = np.random.default_rng(seed)
    truth = truth_of(model, params, classes)
    rows = covariates_of(truth, n, X, Z, covariates, rng)
    drawn, expert = truth.model.sample_with_experts(
        truth.params, rows.X.to_numpy(), rng, rows.Z.to_numpy(), offset=rows.offset, exposure=rows.exposure
    )
    return Simulated(
        X=rows.X,
        Z=rows.Z,
        y=_response(truth, drawn),
        expert=expert + 1,
        model=truth.model,
        params=truth.params,
        formula=f"{' + '.join(map(quoted, truth.responses))} ~ {rows.right}",
        _columns=rows.columns,
        _known_terms=rows.known_terms,
    )


def _held_beside(formula: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The held fields but for the intercepts that the formula itself leaves out (0 +)."""
    from moestat.frames.grammar import parse

    parsed = parse(formula)
    without = {name for name, part in (("expert", parsed.expert), ("gate", parsed.gate)) if not part.intercept}
    return {
        path: value
        for path, value in fixed.items()
        if not (path.split(".")[0] in without and path.endswith("intercepts"))
    }


def _response(truth: Truth, drawn: FloatArray) -> pd.Series[Any] | pd.DataFrame:
    import pandas as pd

    if drawn.ndim == 2:
        return pd.DataFrame(drawn, columns=list(truth.responses))
    (name,) = truth.responses
    if truth.classes is None:
        return pd.Series(drawn, name=name)
    classes = pd.Index(truth.classes, tupleize_cols=False)
    return pd.Series(pd.Categorical(classes[drawn.astype(np.int64)], categories=classes), name=name)
