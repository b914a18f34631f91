"""Covariates of simulated rows: given, drawn from a law, or made from a user's columns by the formula of a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from moestat.datasets.dataset import quoted
from moestat.datasets.truth import Truth
from moestat.errors import InputError
from moestat.typing import FloatArray
from moestat.validate import as_matrix, column_names, count_rows

if TYPE_CHECKING:
    import pandas as pd

    from moestat.frames.design import FrameDesign

#: Laws by name: an array (n, d) from a generator.
LAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], FloatArray]] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
}
#: Rows where nothing says how many.
ROWS = 1000


class Covariates(NamedTuple):
    """Covariates with the columns that they come from, and the right-hand side of their formula."""

    X: pd.DataFrame
    Z: pd.DataFrame
    columns: pd.DataFrame
    right: str
    offset: Any = None
    exposure: Any = None
    known_terms: Mapping[str, Any] = {}


def covariates_of(truth: Truth, n: Any, X: Any, Z: Any, law: Any, rng: np.random.Generator) -> Covariates:
    """The covariates given, or those that the law draws.

    Raises
    ------
    InputError
        When they do not agree with the truth, with n, or with each other.
    """
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        raise InputError(f"n must be a whole number of at least 1; got {n!r}.")
    if X is None:
        if Z is not None:
            raise InputError("Z was given without X. Pass both, or neither and a law: covariates='normal'.")
        return _by_law(truth, ROWS if n is None else int(n), law, rng)
    if law is not None:
        raise InputError("covariates is the law of an X that is left out; got both. Leave one of them out.")
    covariates = _given(truth, X, Z)
    if n not in (None, len(covariates.X)):
        raise InputError(
            f"n={n}, but X has {len(covariates.X)} rows. Leave n out: there is one response for every row of X."
        )
    return covariates


# --------------------------------------------------------------------------------------- laws
def _by_law(truth: Truth, n: int, law: Any, rng: np.random.Generator) -> Covariates:
    if callable(law):
        made = law(rng, n)
        drawn = _given(truth, *(made if isinstance(made, tuple) else (made, None)))
        if len(drawn.X) != n:
            raise InputError(f"covariates(rng, n) must return n rows; for n={n} it returned {len(drawn.X)}.")
        return drawn
    if truth.fitted and law is None:
        raise InputError(
            "X is needed: a fit says nothing about the law of its covariates. Pass X=frame with rows of your own, or "
            "covariates=a function (rng, n) -> X."
        )
    if truth.design is not None:
        raise InputError(
            "covariates must be a function (rng, n) -> data frame for a fit by a formula, with the columns of the "
            f"formula; got {law!r}. Or pass such a frame as X."
        )
    return _independent(truth, n, "uniform" if law is None else law, rng)


def _independent(truth: Truth, n: int, law: Any, rng: np.random.Generator) -> Covariates:
    """Independent columns by a named law, one for each name."""
    import pandas as pd

    if not isinstance(law, str) or law not in LAWS:
        raise InputError(f"covariates must be one of {sorted(LAWS)} or a function (rng, n) -> X; got {law!r}.")
    names = list(dict.fromkeys([*truth.features, *truth.gate_features]))
    table = pd.DataFrame(LAWS[law](rng, (n, len(names))), columns=names)
    return _joined(table[list(truth.features)], table[list(truth.gate_features)], truth.responses)


# --------------------------------------------------------------------------------------- given
def _given(truth: Truth, X: Any, Z: Any) -> Covariates:
    """X and Z as they are; or a frame that the formula of a fit reads."""
    if Z is None and truth.design is not None and truth.design.reads(X, truth.features, truth.gate_features):
        return _designed(truth.design, X)
    n = count_rows("X", X)
    X = _named("X", X, truth.features, n)
    if Z is None and X.shape[1] != len(truth.gate_features):
        if truth.gate_features:
            raise InputError(f"Z is needed: the gate has its own {len(truth.gate_features)} covariates.")
        Z = np.empty((n, 0))
    return _joined(X, X if Z is None else _named("Z", Z, truth.gate_features, n), truth.responses)


def _named(what: str, value: Any, expected: tuple[str, ...], n: int) -> pd.DataFrame:
    """Columns under their own names, or under those that the truth has for them."""
    import pandas as pd

    matrix = as_matrix(what, value, n)
    if matrix.shape[1] != len(expected):
        raise InputError(f"{what} must have {len(expected)} columns, as the parameters do; got {matrix.shape[1]}.")
    named = hasattr(value, "columns") or getattr(value, "name", None) is not None
    return pd.DataFrame(matrix, columns=list(column_names(value, "x", len(expected)) if named else expected))


def _joined(X: pd.DataFrame, Z: pd.DataFrame, responses: tuple[str, ...]) -> Covariates:
    """X and Z as one table; a name in both must mean one column."""
    taken = [name for name in responses if name in [*X.columns, *Z.columns]]
    if taken:
        raise InputError(f"a covariate has the name of the response, {taken[0]!r}. Rename it.")
    clash = [name for name in Z.columns if name in X.columns and not X[name].equals(Z[name])]
    if clash:
        raise InputError(f"X and Z hold different columns of the name {clash[0]!r}. Rename one of them.")
    columns = X.assign(**{name: Z[name] for name in Z.columns if name not in X.columns})
    right = _sum(X)
    return Covariates(X, Z, columns, right if list(X.columns) == list(Z.columns) else f"{right} | {_sum(Z)}")


def _sum(columns: pd.DataFrame) -> str:
    return " + ".join(map(quoted, columns.columns)) or "1"


def _designed(design: FrameDesign, frame: Any) -> Covariates:
    """Covariates that the formula of a fit makes of a user's columns."""
    from moestat.frames.columns import as_frame

    X, Z, _, offset, exposure = design.rows(frame)
    columns = _without_response(design, as_frame("X", frame).reset_index(drop=True))
    right = design.formula.text.split("~", 1)[1].strip()
    known = {"offset": design.offset, "exposure": design.exposure}
    terms = {name: column for name, column in known.items() if column is not None}
    return Covariates(X, X if Z is None else Z, columns, right, offset, exposure, terms)


def _without_response(design: FrameDesign, columns: pd.DataFrame) -> pd.DataFrame:
    """The columns but those of which a response like log(y) was computed: they hold the old response, not the new."""
    needed = design.needed()
    for response, made_of in design.computed_from.items():
        kept = [name for name in made_of if name in needed]
        if kept:
            raise InputError(
                f"the response {response} was computed from {kept[0]!r}, which is a covariate too; a simulated "
                "response would not agree with it. Make the response a column of its own, and fit that."
            )
        columns = columns.drop(columns=[name for name in made_of if name in columns])
    return columns
