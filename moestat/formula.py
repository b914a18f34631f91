"""The formula door: ``moe("y ~ x1 + C(g) | z", data).fit()``."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from moestat.component import Expert, Gate
from moestat.data import Schema
from moestat.errors import InputError
from moestat.fitting import fit
from moestat.frames.columns import as_frame, as_numbers, check_present, missing_rows
from moestat.frames.design import FrameDesign, learn_design
from moestat.frames.grammar import Formula, parse
from moestat.model import MixtureOfExperts
from moestat.results import Results
from moestat.typing import BoolArray, FloatArray


def moe(
    formula: str,
    data: Any,
    *,
    gate: Gate | str = "softmax",
    expert: Expert | str | tuple[Expert | str, ...] = "gaussian",
    n_experts: int = 2,
    fixed: Mapping[str, Any] | None = None,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    missing: str = "raise",
    unsafe_formula: bool = False,
) -> FormulaModel:
    """A mixture of experts for the columns of a data frame.

    Parameters
    ----------
    formula : str
        ``"y ~ x1 + C(g) | z1 + z2"``: the response, the experts' covariates and, after the bar, the gate's. Without
        a bar the gate has the experts' covariates; ``| 1`` makes it constant. ``0 +`` leaves the intercepts of a
        part out. Operators are those of R; functions are ``log exp sqrt abs sin cos I C bs cr cc poly center scale``.
        ``y1 + y2 ~ x``, or ``cbind(y1, y2) ~ x``, has several responses.
    data : DataFrame or mapping of columns
    gate, expert, n_experts, fixed
        As in `MixtureOfExperts`.
    weights : str or array-like (n,), optional
        Frequencies, as a column's name or one number per row.
    offset, exposure : str or array-like (n,), optional
        Known terms of the experts' linear predictors; trials of a binomial expert are its exposure.
    missing : {"raise", "drop"}
        What to do with rows in which a column in use has no entry.
    unsafe_formula : bool
        Take any Python expression inside functions, with the names of the calling module. Such a formula is code: never
        set this for text from somewhere else.

    Returns
    -------
    FormulaModel
        ``.fit()`` gives `Results`, which read data frames with the same columns.

    Raises
    ------
    InputError
        When the formula cannot be read, a column is missing, or entries are; the message names them.

    Examples
    --------
    >>> import moestat as ms
    >>> results = ms.moe("tuned ~ stretchratio", ms.datasets.load("tone").frame).fit()
    """
    context = _names_of_caller() if unsafe_formula else {}
    with _hinting(formula, data):
        parsed = parse(formula, unsafe=unsafe_formula)
    model = MixtureOfExperts(gate=gate, expert=expert, n_experts=n_experts, fixed=fixed)
    if missing not in ("raise", "drop"):
        raise InputError(f"missing must be 'raise' or 'drop'; got {missing!r}.")
    with _hinting(formula, data):
        table = _Table.of(parsed, as_frame("data", data), {"weights": weights, "offset": offset, "exposure": exposure})
    kept, n_dropped = table.kept(missing)
    rows = np.flatnonzero(kept)
    columns = {name: given for name, given in (("offset", offset), ("exposure", exposure)) if isinstance(given, str)}
    given = {name: values[kept] for name, values in table.given.items()}
    frame = table.frame[kept].reset_index(drop=True)
    design, X, Z, y = learn_design(
        parsed,
        frame,
        rows,
        categorical=model.expert.categorical,
        context=context,
        weight=given.get("weights"),  # frequencies: what is typical counts them
        n_dropped=n_dropped,
        **columns,
    )
    model = _without_intercepts(model, parsed, X, X if Z is None else Z)
    weight, known, amounts = (given.get(name) for name in ("weights", "offset", "exposure"))
    return FormulaModel(model, design, X, y, Z, weight, known, amounts, kept, frame)


@dataclass(frozen=True, eq=False, repr=False)
class FormulaModel:
    """A model with the rows it is to be fitted to; made by `moe`.

    Attributes
    ----------
    model : MixtureOfExperts
    design : FrameDesign
        How columns became covariates; ``design.n_dropped`` rows were left out.
    X, y, Z, sample_weight, offset, exposure
        What `moestat.fit` gets; Z is None when the gate has the experts' covariates.
    kept : ndarray of bool
        The rows of the data that are used.
    frame : DataFrame
        Those rows of the columns in use.
    """

    model: MixtureOfExperts
    design: FrameDesign
    X: pd.DataFrame
    y: pd.Series[Any] | pd.DataFrame
    Z: pd.DataFrame | None
    sample_weight: FloatArray | None
    offset: FloatArray | None
    exposure: FloatArray | None
    kept: BoolArray
    frame: pd.DataFrame

    def __repr__(self) -> str:
        model, dropped = self.model, self.design.n_dropped
        rows = f"{len(self.X)} rows" + (f", {dropped} dropped" if dropped else "")
        return (
            f"FormulaModel({self.design.formula.text!r}, {model.gate.name} gate, "
            f"{model.n_experts} x {model.expert.name}, {rows})"
        )

    def fit(self, **options: Any) -> Results:
        """Fit by maximum likelihood.

        Parameters
        ----------
        **options
            Options of `moestat.fit`: ``n_starts``, ``seed``, ``start``, ``families``, ``bounds``, ``solver``,
            ``progress``.

        Returns
        -------
        Results
            ``predict`` and its kin take data frames with the columns of the formula.
        """
        taken = sorted(options.keys() & {"model", "X", "y", "Z", "sample_weight", "offset", "exposure"})
        if taken:
            raise InputError(f"{', '.join(taken)} must be given to moe(...), which reads the data; fit takes options.")
        results = fit(
            self.model,
            self.X,
            self.y,
            self.Z,
            self.sample_weight,
            offset=self.offset,
            exposure=self.exposure,
            **options,
        )
        return replace(results, design=self.design, frame=self.frame)


# --------------------------------------------------------------------------------------- names that are no words
@contextmanager
def _hinting(formula: Any, data: Any) -> Iterator[None]:
    """Adds to a complaint about a formula how the columns are written that it seems to mean."""
    try:
        yield
    except InputError as error:
        columns = list(map(str, data)) if isinstance(data, pd.DataFrame | Mapping) else []
        meant = [name for name in columns if isinstance(formula, str) and _is_meant(name, formula, columns)]
        if not meant:
            raise
        raise InputError(f"{error} For the column {meant[0]!r} write {_written(meant[0])}.") from None


def _is_meant(column: str, formula: str, columns: list[str]) -> bool:
    """Whether the column stands in the formula, outside backticks, but for spaces and underscores."""
    characters = [re.escape(character) for character in re.sub(r"[\s_]", "", column)]
    if not characters:
        return False
    loose = r"[\s_]*".join(characters)
    found = re.search(rf"(?<!\w){loose}(?!\w)", re.sub(r"`[^`]*`", "`", formula))
    return found is not None and not (found.group().isidentifier() and found.group() in columns)


def _written(column: str) -> str:
    return column if column.isidentifier() and not keyword.iskeyword(column) else f"`{column}`, in backticks"


# --------------------------------------------------------------------------------------- rows
@dataclass(frozen=True)
class _Table:
    """The columns that a formula uses, and what was given beside them, row by row."""

    frame: pd.DataFrame
    given: dict[str, FloatArray]
    called: dict[str, str]  # what messages call the given ones

    @staticmethod
    def of(formula: Formula, data: pd.DataFrame, given: Mapping[str, Any]) -> _Table:
        parts = (formula.expert, formula.gate)
        factors = [*formula.responses, *(factor for part in parts for term in part.terms for factor in term)]
        names = [formula.aliases.get(name, name) for factor in factors for name in factor.columns]
        if formula.unsafe:  # names that are no columns belong to Python
            bare = {formula.aliases.get(f.text, f.text) for f in factors if f.is_column}
            names = [name for name in names if name in bare or name in data.columns]
        named = [value for value in given.values() if isinstance(value, str)]
        needed = list(dict.fromkeys([*names, *named]))
        check_present("data", data, needed)
        read = {name: _given(name, value, data) for name, value in given.items() if value is not None}
        called = {name: value if isinstance(value, str) else name for name, value in given.items()}
        return _Table(data[needed], read, called)

    def kept(self, missing: str) -> tuple[BoolArray, int]:
        """The rows to use, and how many are left out because entries are missing; rows of weight zero do not count."""
        counted = self.given["weights"] != 0 if "weights" in self.given else np.ones(len(self.frame), dtype=bool)
        beside = {self.called[name]: values for name, values in self.given.items()}
        columns = {name: self.frame[name] for name in self.frame.columns} | beside
        gaps, words = missing_rows(columns, counted)
        if words and missing == "raise":
            raise InputError(
                f"data: {words}; the first is row {int(np.argmax(gaps))}. Fill them, or pass missing='drop'."
            )
        kept = counted & ~gaps
        if not kept.any():
            raise InputError(f"data: no row is left of {len(kept)}: {words or 'all weights are zero'}.")
        return kept, int(gaps.sum())


def _given(name: str, value: Any, data: pd.DataFrame) -> FloatArray:
    """A column by its name, or one number per row."""
    if isinstance(value, str):
        return as_numbers(value, data[value])
    if np.ndim(value) != 1 or len(value) != len(data):
        raise InputError(
            f"{name} must be the name of a column, or hold one number for each of the {len(data)} rows; "
            f"got shape {np.shape(value)}."
        )
    return as_numbers(name, pd.Series(np.asarray(value)))


# --------------------------------------------------------------------------------------- the model
def _without_intercepts(
    model: MixtureOfExperts, formula: Formula, X: pd.DataFrame, Z: pd.DataFrame
) -> MixtureOfExperts:
    """The model with the intercepts held at zero of the parts that have none."""
    classes = ("a", "b") if model.expert.categorical else None  # any will do: only names of fields are read
    responses = tuple(factor.text for factor in formula.responses)
    layout = model.layout(Schema(tuple(X.columns), tuple(Z.columns), responses, classes))
    held: dict[str, Any] = {}
    for part, described in (("expert", formula.expert), ("gate", formula.gate)):
        if not described.intercept:
            held |= {path: 0.0 for path in _intercepts(part, [path for path, _, _ in layout.leaves()], model)}
    both = sorted(held.keys() & (model.fixed or {}).keys())
    if both:
        raise InputError(f"the formula holds {both[0]} at zero (0 +), and fixed holds it too. Leave one of them out.")
    if not held:
        return model
    return MixtureOfExperts(
        gate=model.gate, expert=model.expert, n_experts=model.n_experts, fixed={**(model.fixed or {}), **held}
    )


def _intercepts(part: str, paths: list[str], model: MixtureOfExperts) -> list[str]:
    found = [path for path in paths if path.split(".")[0] == part and path.split(".")[-1] == "intercepts"]
    if not found:
        name = (model.gate if part == "gate" else model.expert).name
        raise InputError(f"the {name} {part} has no intercepts to leave out; write the {part}'s part without 0.")
    return found


def _names_of_caller() -> dict[str, Any]:
    """Names where `moe` was called, for formulas that are Python."""
    caller = sys._getframe(2)
    return caller.f_globals | caller.f_locals
