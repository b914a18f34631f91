"""Terms to columns of numbers, by formulaic; what the transformations learnt is kept, and used again for new rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import formulaic
import numpy as np
import pandas as pd
from formulaic.errors import DataMismatchWarning
from formulaic.formula import SimpleFormula
from formulaic.materializers import PandasMaterializer
from formulaic.parser.types import Factor as FormulaicFactor
from formulaic.parser.types import Term as FormulaicTerm

from moestat.errors import InputError
from moestat.frames.codings import check_codings
from moestat.frames.grammar import Part, Term, unaliased
from moestat.typing import FloatArray

#: Functions that formulaic does not bring along.
FUNCTIONS: dict[str, Any] = {
    "abs": np.abs,
    "cos": np.cos,
    "expm1": np.expm1,
    "log1p": np.log1p,
    "sin": np.sin,
    "sqrt": np.sqrt,
}


@dataclass(frozen=True)
class Encoding:
    """How one part of a formula becomes columns.

    ``states`` are what the transformations learnt (knots, means), ``categories`` the levels of each coded factor.
    """

    part: Part
    names: tuple[str, ...]
    states: dict[str, Any] = field(default_factory=dict)
    categories: dict[str, list[Any]] = field(default_factory=dict)


def learn(
    part: Part, columns: pd.DataFrame, aliases: Mapping[str, str], context: Mapping[str, Any]
) -> tuple[Encoding, pd.DataFrame]:
    """Columns of a part, without the intercept's, and how they came about.

    Parameters
    ----------
    part : Part
    columns : DataFrame
        Prepared columns, under the names of the formula's expressions.
    aliases : mapping
        Columns by their stand-ins.
    context : mapping
        Names of an unsafe formula that are not columns.
    """
    check_codings(part, columns, aliases)
    matrix, spec = _materialised(part, columns, context, {}, {}, aliases)
    names = tuple(unaliased(name, aliases) for name in spec.column_names)[int(part.intercept) :]
    categories = {
        factor: list(state["categories"])
        for factor, (_, state) in spec.encoder_state.items()
        if state.get("categories")
    }
    encoding = Encoding(part, names, dict(spec.transform_state), categories)
    return encoding, _frame(matrix, encoding)


def encode(
    encoding: Encoding, columns: pd.DataFrame, aliases: Mapping[str, str], context: Mapping[str, Any]
) -> pd.DataFrame:
    """The same columns for new rows."""
    matrix, _ = _materialised(encoding.part, columns, context, deepcopy(encoding.states), encoding.categories, aliases)
    return _frame(matrix, encoding)


def _frame(matrix: FloatArray, encoding: Encoding) -> pd.DataFrame:
    values = matrix[:, int(encoding.part.intercept) :]
    if values.shape[1] != len(encoding.names):
        raise InputError(f"the new rows give {values.shape[1]} columns, the fit had {list(encoding.names)}.")
    return pd.DataFrame(values, columns=list(encoding.names))


def _materialised(
    part: Part,
    columns: pd.DataFrame,
    context: Mapping[str, Any],
    states: dict[str, Any],
    categories: Mapping[str, list[Any]],
    aliases: Mapping[str, str],
) -> tuple[FloatArray, Any]:
    kind = FormulaicFactor.Kind.CATEGORICAL
    spec = formulaic.ModelSpec(
        formula=SimpleFormula(_terms(part), _ordering="none"),
        output="numpy",
        na_action="ignore",  # missing entries were refused or dropped before
        transform_state=states,
        encoder_state={factor: (kind, {"categories": list(levels)}) for factor, levels in categories.items()},
    )
    materialiser = PandasMaterializer(columns, context=FUNCTIONS | dict(context))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", DataMismatchWarning)
            result = materialiser.get_model_matrix(spec)
    except DataMismatchWarning as error:
        extra = re.findall(r"\{.*\}", str(error))
        raise InputError(f"levels=[...] must list every level that occurs; it lacks {', '.join(extra)}.") from error
    except Exception as error:  # transformations have errors of all kinds
        raise InputError(unaliased(_in_words(error, part, columns, states), aliases)) from error
    # without terms formulaic gives the rows and no column
    return np.asarray(result, dtype=np.float64).reshape(len(columns), -1), result.model_spec


def _terms(part: Part) -> list[FormulaicTerm]:
    one = FormulaicTerm([FormulaicFactor("1", eval_method="literal")])
    return [*([one] if part.intercept else []), *(_term(term) for term in part.terms)]


def _term(term: Term) -> FormulaicTerm:
    return FormulaicTerm(
        FormulaicFactor(factor.text, eval_method="lookup" if factor.is_column else "python") for factor in term
    )


# --------------------------------------------------------------------------------------- what went wrong
def _in_words(error: Exception, part: Part, columns: pd.DataFrame, states: Mapping[str, Any]) -> str:
    """What went wrong, and in which factor."""
    found = re.search(r"factor `(.*)`\. \[(.*)\]", str(error), re.DOTALL)
    factor, cause = found.groups() if found else ("the formula", str(error))
    cause = re.sub(r"^\w+: ", "", cause).rstrip(". ")  # the class of the exception says nothing to a reader
    of_text = _of_categories(factor, part, columns)
    return f"{factor} cannot be computed: {of_text or _said(cause, states.get(factor, {}))}."


def _of_categories(text: str, part: Part, columns: pd.DataFrame) -> str:
    """The complaint when a function was given categories; empty when it was not."""
    used = [name for term in part.terms for factor in term if factor.text == text for name in factor.columns]
    for name in used:
        if name in columns and isinstance(dtype := columns[name].dtype, pd.CategoricalDtype):
            level = dtype.categories[0]
            return (
                f"{name} holds text (categories); functions need numbers. Write {name} alone for a column per level, "
                f"or I({name} == {level!r}) for one level"
            )
    return ""


def _said(cause: str, known: Mapping[str, Any]) -> str:
    """The cause in the words of a formula, where it is a known one."""
    if "extend beyond" in cause:
        ways = "extrapolation='extend' continues the spline, 'clip' keeps its last value"
        if "lower_bound" not in known:
            return f"there are values beyond lower_bound or upper_bound. Move the bounds; or {ways}"
        low, high = known["lower_bound"], known["upper_bound"]
        return f"the fit saw values from {low:.6g} to {high:.6g}, and there are others beyond. In the formula, {ways}"
    if found := re.search(r"knot values \((.*)\) fall (above|below) .*\((.*)\)", cause, re.DOTALL):
        knots, side, bound = found.groups()
        end = "largest value" if side == "above" else "smallest value"
        return f"the knots {knots} lie {side} the {end} (or bound), {float(bound):.6g}. Leave them out"
    if "distinct knots" in cause or "No data values" in cause:
        return (
            "its knots are not all different: the column has few different values, or a knot lies at its smallest or "
            "largest. Write a smaller df, or leave that knot out"
        )
    if "comparison between" in cause or "not supported between" in cause:
        return "numbers are compared with text. Write the number without quotation marks"
    if re.search(r"'(invert|bitwise_\w+)'|for [&|]|unary ~", cause):
        return "& | ~ are for comparisons, each in parentheses, as (x > 0) & (z > 0)"
    return cause
