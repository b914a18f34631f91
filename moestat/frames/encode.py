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
        raise InputError(_in_words(error, states, aliases)) from error
    # without terms formulaic gives the rows and no column
    return np.asarray(result, dtype=np.float64).reshape(len(columns), -1), result.model_spec


def _terms(part: Part) -> list[FormulaicTerm]:
    one = FormulaicTerm([FormulaicFactor("1", eval_method="literal")])
    return [*([one] if part.intercept else []), *(_term(term) for term in part.terms)]


def _term(term: Term) -> FormulaicTerm:
    return FormulaicTerm(
        FormulaicFactor(factor.text, eval_method="lookup" if factor.is_column else "python") for factor in term
    )


def _in_words(error: Exception, states: Mapping[str, Any], aliases: Mapping[str, str]) -> str:
    """What went wrong, and in which factor."""
    found = re.search(r"factor `(.*)`\. \[(.*)\]", str(error), re.DOTALL)
    factor, cause = found.groups() if found else ("the formula", f"{type(error).__name__}: {error}")
    if "extend beyond" in cause and "lower_bound" in (known := states.get(factor, {})):
        cause = (
            f"the fit saw values from {known['lower_bound']:.6g} to {known['upper_bound']:.6g}, and there are others "
            "beyond. In the formula, extrapolation='extend' continues the spline, 'clip' keeps its last value"
        )
    return unaliased(f"{factor} cannot be computed: {cause}.", aliases)
