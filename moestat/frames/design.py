"""The covariates of a formula: learnt from the rows of a fit, made again from new rows, kept as plain data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from moestat.errors import InputError
from moestat.frames.columns import Levels, as_frame, as_numbers, check_present, learn_levels, missing_rows, prepared
from moestat.frames.encode import Encoding, encode, learn
from moestat.frames.grammar import Factor, Formula, Part, parse, unaliased
from moestat.frames.typical import TRUTH, Typical, is_truth, typical
from moestat.typing import AnyArray, BoolArray, FloatArray


@dataclass(frozen=True)
class FrameDesign:
    """How a data frame becomes covariates and response.

    Attributes
    ----------
    formula : Formula
    levels : dict
        Columns in use: their categories, or None for numbers.
    expert, gate : Encoding or None
        None for a gate with the experts' covariates.
    responses : tuple of Encoding or None
        One for each response; None for one that is a column as it is.
    categorical : bool
        The response holds class labels.
    offset, exposure : str or None
        Columns of known terms.
    n_dropped : int
        Rows that the fit left out because entries were missing.
    readable : bool
        New data frames can be read; not so when an unchecked formula came from a file.
    typical : dict
        Mean and range, or most frequent level, of the columns in use; empty when read from an older file.
    """

    formula: Formula
    levels: Levels
    expert: Encoding
    gate: Encoding | None
    responses: tuple[Encoding | None, ...]
    categorical: bool
    offset: str | None = None
    exposure: str | None = None
    n_dropped: int = 0
    readable: bool = True
    typical: Mapping[str, Typical] = field(default_factory=dict, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------------------------- new rows
    def reads(self, X: Any, names: tuple[str, ...], gate_names: tuple[str, ...]) -> bool:
        """Whether X is a data frame of the user's own columns; one of exactly the covariates is taken as they are."""
        if isinstance(X, Mapping):
            return True
        if not isinstance(X, pd.DataFrame):
            return False
        enough = gate_names in (names, ())  # without Z such a frame says all
        return not (enough and tuple(map(str, X.columns)) == names)

    def rows(
        self, data: Any, *, y: Any = None, offset: Any = None, exposure: Any = None, scored: bool = False
    ) -> tuple[Any, Any, Any, Any, Any]:
        """X, Z, y, offset and exposure of new rows; y only if ``scored``, and what is given comes first.

        Z is None when the gate has the experts' covariates.
        """
        frame = self._frame(data)
        known = [] if offset is not None or self.offset is None else [self.offset]
        known += [] if exposure is not None or self.exposure is None else [self.exposure]
        scored = scored and y is None
        self._check(frame, self._covariates(), [*(self._response_columns() if scored else []), *known])
        columns = self._prepared(frame, self._covariates())
        X = self._made(self.expert, columns)
        Z = None if self.gate is None else self._made(self.gate, columns)
        if scored:
            y = self._response(frame)
        if offset is None and self.offset is not None:
            offset = as_numbers(self.offset, frame[self.offset])
        if exposure is None and self.exposure is not None:
            exposure = as_numbers(self.exposure, frame[self.exposure])
            if (exposure <= 0).any():
                raise InputError(f"exposure {self.exposure!r} must be larger than zero; got {exposure.min()}.")
        return X, Z, y, offset, exposure

    def has_response(self, data: Any) -> bool:
        """Whether a data frame holds what the response is made of."""
        return all(name in data for name in self._response_columns())

    def gate_rows(self, data: Any) -> pd.DataFrame:
        """The gate's covariates of new rows; the experts' need not be there."""
        frame = self._frame(data)
        encoding = self.expert if self.gate is None else self.gate
        names = self._names(encoding.part)
        self._check(frame, names, [])
        return self._made(encoding, self._prepared(frame, names))

    @property
    def known(self) -> dict[str, str]:
        """Columns of the offset and of the exposures, where the fit had any."""
        columns = {"offset": self.offset, "exposure": self.exposure}
        return {part: name for part, name in columns.items() if name is not None}

    def needed(self, *, scored: bool = False, given: Collection[str] = ()) -> list[str]:
        """Columns that new rows must have, with the response if ``scored``; but for what is ``given``, as an offset."""
        known = [name for part, name in self.known.items() if part not in given]
        return list(dict.fromkeys([*self._covariates(), *(self._response_columns() if scored else []), *known]))

    def _frame(self, data: Any) -> pd.DataFrame:
        if not self.readable:
            raise InputError(
                "this fit was loaded, and its formula was not checked (unsafe_formula=True), so it is not run. "
                "Pass the covariates as arrays X and Z."
            )
        return as_frame("X", data)

    def _check(self, frame: pd.DataFrame, covariates: list[str], others: list[str]) -> None:
        needed = list(dict.fromkeys([*covariates, *others]))
        check_present("X", frame, needed)
        _, words = missing_rows({name: frame[name] for name in needed}) if needed else (None, "")
        if words:
            raise InputError(f"X: {words}. Drop or fill them.")

    def _prepared(self, frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
        return prepared(frame, {name: self.levels[name] for name in names})

    def _made(self, encoding: Encoding, columns: pd.DataFrame) -> pd.DataFrame:
        columns = columns.rename(columns=_stand_ins(self.formula))
        made = encode(encoding, columns, self.formula.aliases, self.context)
        check_finite(made, np.arange(len(made)))
        return made

    def _response(self, frame: pd.DataFrame) -> pd.Series[Any] | pd.DataFrame:
        def one(factor: Factor, encoding: Encoding | None) -> pd.Series[Any]:
            if encoding is None:
                return _as_it_is(self._name(factor.text), frame, self.categorical)
            return self._made(encoding, self._prepared(frame, self._columns_of(factor, encoding))).iloc[:, 0]

        return _side_by_side([one(*pair) for pair in zip(self.formula.responses, self.responses, strict=True)])

    # ------------------------------------------------------------------------------- names
    def _name(self, name: str) -> str:
        return self.formula.aliases.get(name, name)

    def _names(self, part: Part) -> list[str]:
        """Columns that a part uses; an unsafe formula has names that are no columns."""
        names = (self._name(name) for term in part.terms for factor in term for name in factor.columns)
        return [name for name in dict.fromkeys(names) if name in self.levels]

    @property
    def expert_columns(self) -> tuple[str, ...]:
        """Columns of the data that the experts' covariates are made of."""
        return tuple(self._names(self.expert.part))

    @property
    def gate_columns(self) -> tuple[str, ...]:
        """Columns of the data that the gate's covariates are made of."""
        return tuple(self._names((self.expert if self.gate is None else self.gate).part))

    def _covariates(self) -> list[str]:
        return list(dict.fromkeys([*self.expert_columns, *self.gate_columns]))

    def _response_columns(self) -> list[str]:
        pairs = zip(self.formula.responses, self.responses, strict=True)
        return list(dict.fromkeys(name for pair in pairs for name in self._columns_of(*pair)))

    def _columns_of(self, response: Factor, encoding: Encoding | None) -> list[str]:
        names = [self._name(name) for name in response.columns]
        return names if encoding is None else [name for name in names if name in self.levels]

    @property
    def computed_from(self) -> dict[str, tuple[str, ...]]:
        """Responses that are functions of columns, such as log(y), and the columns that they are made of."""
        pairs = zip(self.formula.responses, self.responses, strict=True)
        return {
            unaliased(factor.text, self.formula.aliases): tuple(map(self._name, factor.columns))
            for factor, encoding in pairs
            if encoding is not None
        }

    # ------------------------------------------------------------------------------- storage
    def to_dict(self) -> dict[str, Any]:
        """Plain data: the formula's text, the levels of the categories, and what transformations learnt."""
        return {
            "formula": self.formula.text,
            "unsafe": self.formula.unsafe,
            "levels": [[name, None if known is None else _plain(list(known))] for name, known in self.levels.items()],
            "expert": _described(self.expert),
            "gate": None if self.gate is None else _described(self.gate),
            "responses": [None if one is None else _described(one) for one in self.responses],
            "categorical": self.categorical,
            "offset": self.offset,
            "exposure": self.exposure,
            "n_dropped": self.n_dropped,
            "typical": [[name, *_plain(known)] for name, known in self.typical.items()],
        }

    @staticmethod
    def from_dict(described: Mapping[str, Any]) -> FrameDesign:
        """The inverse of `to_dict`. The text is checked like any other; an unchecked one is never run."""
        formula = parse(described["formula"], unsafe=described["unsafe"])
        gate = described["gate"]
        responses = described["responses"] if "responses" in described else [described["response"]]  # an older file
        if not formula.unsafe and _used(formula)[0] != {name for name, _ in described["levels"]}:
            raise InputError(f"the file's columns are not those of its formula, {formula.text!r}; it is damaged.")
        return FrameDesign(
            formula=formula,
            levels={name: None if known is None else tuple(_revived(known)) for name, known in described["levels"]},
            expert=_restored(described["expert"], formula.expert),
            gate=None if gate is None else _restored(gate, formula.gate),
            responses=tuple(
                None if one is None else _restored(one, _response_part(factor))
                for factor, one in zip(formula.responses, responses, strict=True)
            ),
            categorical=described["categorical"],
            offset=described["offset"],
            exposure=described["exposure"],
            n_dropped=described["n_dropped"],
            readable=not formula.unsafe,
            typical={name: Typical(*known) for name, *known in described.get("typical", [])},
        )


# --------------------------------------------------------------------------------------- learning
class Learnt(NamedTuple):
    """A design with what it made of the rows of the fit; Z is None when the gate has the experts' covariates."""

    design: FrameDesign
    X: pd.DataFrame
    Z: pd.DataFrame | None
    y: pd.Series[Any] | pd.DataFrame


def learn_design(
    formula: Formula,
    frame: pd.DataFrame,
    rows: AnyArray,
    *,
    categorical: bool,
    context: Mapping[str, Any],
    weight: FloatArray | None = None,
    **kept: Any,
) -> Learnt:
    """Learn the design of a formula from rows without missing entries.

    Parameters
    ----------
    formula : Formula
    frame : DataFrame
        The rows to learn from.
    rows : ndarray
        Their numbers in the user's table, for messages.
    categorical : bool
        The response holds class labels.
    context : mapping
        Names of an unsafe formula that are not columns.
    weight : ndarray, optional
        Frequencies of the rows, for what is typical of a column.
    **kept
        Further fields of the design.
    """
    for factor in formula.responses:
        _check_response(factor, formula, categorical)
    levels = _learn_levels(formula, frame)
    plain = prepared(frame, levels)
    columns = plain.rename(columns=_stand_ins(formula))

    def learnt(part: Part) -> tuple[Encoding, pd.DataFrame]:
        encoding, made = learn(part, columns, formula.aliases, context)
        check_finite(made, rows)
        return encoding, made

    expert, X = learnt(formula.expert)
    gate, Z = learnt(formula.gate)
    same = expert.names == gate.names

    def response(factor: Factor) -> tuple[Encoding | None, pd.Series[Any]]:
        if factor.is_column:
            return None, _as_it_is(formula.aliases.get(factor.text, factor.text), frame, categorical)
        encoding, made = learnt(_response_part(factor))
        if made.shape[1] != 1 or encoding.categories:
            raise InputError(f"the response {factor.text} must be one column of numbers, or a column itself.")
        return encoding, made.iloc[:, 0]

    responses, columns_of_y = zip(*map(response, formula.responses), strict=True)
    shown = {name: TRUTH if known is None and is_truth(frame[name]) else known for name, known in levels.items()}
    middle = {name: typical(plain[name].to_numpy(), known, weight) for name, known in shown.items()}
    own_gate = None if same else gate
    design = FrameDesign(
        formula, levels, expert, own_gate, responses, categorical, typical=middle, context=context, **kept
    )
    return Learnt(design, X, None if same else Z, _side_by_side(columns_of_y))


def _as_it_is(name: str, frame: pd.DataFrame, categorical: bool) -> pd.Series[Any]:
    """A response that is a column: labels untouched, or numbers."""
    return frame[name] if categorical else pd.Series(as_numbers(name, frame[name]), name=name)


def _side_by_side(responses: Sequence[pd.Series[Any]]) -> pd.Series[Any] | pd.DataFrame:
    """One response as a column, several as a table."""
    return responses[0] if len(responses) == 1 else pd.concat(responses, axis="columns")


def _check_response(response: Factor, formula: Formula, categorical: bool) -> None:
    """Refuse a response that explains itself, and one in C: classes are taken as they are."""
    names = [formula.aliases.get(name, name) for name in response.columns]
    if not response.is_column and response.labels and response.text.startswith("C("):
        column = names[0] if names[0] == response.columns[0] else f"`{names[0]}`"
        experts = "" if categorical else " and pass expert='multinomial'"
        raise InputError(
            f"the response must be one column; got {unaliased(response.text, formula.aliases)}. "
            f"Write {column} ~ ...{experts}: experts for classes take them as they are."
        )
    if len(names) != 1:  # a change a - b may be explained by where it began, b
        return
    for part, side in ((formula.expert, "experts'"), (formula.gate, "gate's")):
        for term in part.terms:
            if any(response.columns[0] in factor.columns for factor in term):
                raise InputError(
                    f"the response {names[0]!r} is among the {side} covariates too, so it would explain itself. "
                    "Take it out on the right of the ~."
                )


def _learn_levels(formula: Formula, frame: pd.DataFrame) -> Levels:
    """Levels of all columns in use but a response that is a column: its entries are taken as they are."""
    names, labels = _used(formula)
    return learn_levels(frame[[name for name in frame.columns if name in names]], labels)


def _used(formula: Formula) -> tuple[set[str], set[str]]:
    """Columns that are transformed, and those among them that are categories by C."""
    factors = [factor for part in (formula.expert, formula.gate) for term in part.terms for factor in term]
    factors += [factor for factor in formula.responses if not factor.is_column]
    names = {formula.aliases.get(name, name) for factor in factors for name in factor.columns}
    labels = {formula.aliases.get(name, name) for factor in factors for name in factor.labels}
    return names, labels


def _stand_ins(formula: Formula) -> dict[str, str]:
    return {column: name for name, column in formula.aliases.items()}


def _response_part(response: Factor) -> Part:
    """A response that is a function of columns, as a part of its own."""
    return Part(((response,),), intercept=False)


def check_finite(columns: pd.DataFrame, rows: AnyArray) -> None:
    """Refuse covariates that are infinite or not a number, with their name and first row."""
    values = columns.to_numpy()
    bad: BoolArray = ~np.isfinite(values)
    if bad.any():
        column = int(np.argmax(bad.any(axis=0)))
        row = int(np.argmax(bad[:, column]))
        raise InputError(
            f"{columns.columns.tolist()[column]} must be finite; got {float(values[row, column])} in row {rows[row]} "
            f"({int(bad[:, column].sum())} such rows). Drop those rows, or transform the column otherwise."
        )


# --------------------------------------------------------------------------------------- plain data
def _described(encoding: Encoding) -> dict[str, Any]:
    return {
        "names": list(encoding.names),
        "states": _plain(encoding.states),
        "categories": _plain(encoding.categories),
    }


def _restored(described: Mapping[str, Any], part: Part) -> Encoding:
    return Encoding(part, tuple(described["names"]), _revived(described["states"]), _revived(described["categories"]))


def _plain(value: Any) -> Any:
    """Numbers, strings, lists; tables as pairs, for their keys may be numbers; arrays marked as such."""
    if isinstance(value, dict):
        return {"table": [[_plain(key), _plain(entry)] for key, entry in value.items()]}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"only results with categories of strings or numbers can be saved; got {value!r}.")


def _revived(value: Any) -> Any:
    if isinstance(value, dict) and "table" in value:
        return {_revived(key): _revived(entry) for key, entry in value["table"]}
    if isinstance(value, dict):
        return np.array(value["array"])
    return [_revived(entry) for entry in value] if isinstance(value, list) else value
