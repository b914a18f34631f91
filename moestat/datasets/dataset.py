"""A data set: its rows, what they are, where they were published, and a model to start with."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from moestat.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from moestat.formula import FormulaModel
    from moestat.frames.grammar import Formula, Part

#: Columns of a line of a card.
WIDTH = 80

#: Up to so many whole numbers in a row are thought to be classes.
MOST_CLASSES = 7


@dataclass(frozen=True)
class Suggestion:
    """A model to start with.

    Parameters
    ----------
    formula : str
        As `moestat.moe` reads it.
    n_experts : int
    gate, expert : str
        Expressions, as ``"gaussian(variance='common')"``.
    why : str
        What the fit shows.
    """

    formula: str
    n_experts: int = 2
    gate: str = "softmax"
    expert: str = "gaussian"
    why: str = ""

    def __str__(self) -> str:
        """The call of `moestat.moe`; settings at their defaults are left out."""
        settings = [f"{name}={value!r}" for name, value in self.settings.items() if value != getattr(Suggestion, name)]
        return f"ms.moe({', '.join([repr(self.formula), 'data.frame', *settings])})"

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `moestat.moe` beside formula and data."""
        return {"gate": self.gate, "expert": self.expert, "n_experts": self.n_experts}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set, as `load`, `from_statsmodels` and `from_sklearn` return it. Printed, it is a card.

    Attributes
    ----------
    name, title, description, source : str
    columns : mapping
        What the columns mean, with units; those that nothing is known of are left out.
    suggestion : Suggestion or None
        A model to start with; None where nothing is said to be the response.
    """

    name: str
    title: str
    description: str
    source: str
    columns: Mapping[str, str]
    suggestion: Suggestion | None
    _read: Callable[[], pd.DataFrame] = field(repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows; a copy of your own."""
        return self._read()

    def moe(self, formula: str | None = None, **settings: Any) -> FormulaModel:
        """The suggested model with these rows, to be fitted by ``.fit()``.

        Parameters
        ----------
        formula : str, optional
            Another formula than the suggested one. If its response is another too, so are the defaults of the
            settings: those of `moestat.moe`.
        **settings
            Other settings than the suggested ones, as `moestat.moe` takes them: ``n_experts=3``.

        Raises
        ------
        InputError
            When there is no suggestion and no formula is given.
        """
        from moestat.formula import moe

        start = self._suggested if formula is None else self._beside(formula)
        return moe(start.formula, self.frame, **(start.settings | settings))

    def _beside(self, formula: str) -> Suggestion:
        """The suggestion with another formula; experts for one response say nothing about another."""
        if self.suggestion is not None and _left(formula) == _left(self.suggestion.formula):
            return replace(self.suggestion, formula=formula)
        return Suggestion(formula)

    @property
    def _suggested(self) -> Suggestion:
        if self.suggestion is None:
            raise InputError(
                f"the data set {self.name!r} does not say which one column is the response. Name it in a formula, "
                f"as data.moe('y ~ x | z'), with columns among {list(self.frame.columns)}."
            )
        return self.suggestion

    # ------------------------------------------------------------------------------- columns of the suggestion
    @property
    def response(self) -> str:
        """Column of the response."""
        return self._columns_of(self._formula.responses[0].columns)[0]

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns of the experts' covariates."""
        return self._columns_in(self._formula.expert)

    @property
    def gate_covariates(self) -> tuple[str, ...]:
        """Columns of the gate's covariates."""
        return self._columns_in(self._formula.gate)

    @property
    def X(self) -> pd.DataFrame:
        """Covariates of the experts, before any transformation."""
        return self.frame[list(self.covariates)]

    @property
    def y(self) -> pd.Series[Any]:
        """Response."""
        return self.frame[self.response]

    @property
    def Z(self) -> pd.DataFrame:
        """Covariates of the gate, before any transformation."""
        return self.frame[list(self.gate_covariates)]

    @cached_property
    def _formula(self) -> Formula:
        from moestat.frames.grammar import parse

        return parse(self._suggested.formula)

    def _columns_in(self, part: Part) -> tuple[str, ...]:
        return self._columns_of(name for term in part.terms for factor in term for name in factor.columns)

    def _columns_of(self, names: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._formula.aliases.get(name, name) for name in names))

    # ------------------------------------------------------------------------------- as text
    def __repr__(self) -> str:
        rows, columns = self.frame.shape
        return f"Dataset({self.name!r}, {rows} rows, {columns} columns)"

    def __str__(self) -> str:
        frame = self.frame
        parts = [
            f"{self.name}: {self.title}",
            _filled(self.description),
            f"{len(frame)} rows, {frame.shape[1]} columns\n" + self._legend(list(map(str, frame.columns))),
            _filled(f"Source: {self.source}"),
        ]
        if self.suggestion is not None:
            why = f"\n{_filled(self.suggestion.why, indent=4)}" if self.suggestion.why else ""
            parts.append(f"Suggested, as data.moe():\n    {self.suggestion}{why}")
        return "\n\n".join(part for part in parts if part)

    def _legend(self, names: list[str]) -> str:
        """The columns, one in a line with its meaning; without meanings, one after the other."""
        if not self.columns:
            return _filled(", ".join(names), indent=4)
        width = max(map(len, names))
        lines = (_filled(f"{name:{width}}  {self.columns.get(name, '')}".rstrip(), 4, 6 + width) for name in names)
        return "\n".join(lines)


def linear(response: str, covariates: Iterable[str], expert: str = "gaussian", why: str = "") -> Suggestion:
    """A response on the sum of its covariates."""
    right = " + ".join(map(quoted, covariates)) or "1"
    return Suggestion(f"{quoted(response)} ~ {right}", expert=expert, why=why)


def holds_classes(response: pd.Series[Any]) -> bool:
    """Whether numbers are codes of classes: whole, one after the other, and at most `MOST_CLASSES` of them."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(response):
        return True
    codes = sorted(response.dropna().unique().tolist())
    if not 2 <= len(codes) <= MOST_CLASSES or codes[0] % 1 != 0:
        return False
    return codes == [codes[0] + i for i in range(len(codes))]


def quoted(name: str) -> str:
    """A column as formulas take it: in backticks unless it is a plain word."""
    plain = name.isidentifier() and not iskeyword(name) and not name.startswith("_")
    return name if plain else f"`{name}`"


def _left(formula: str) -> str:
    return str(formula).partition("~")[0].strip()


def _filled(text: str, indent: int = 0, hanging: int | None = None) -> str:
    margin = " " * indent
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin if hanging is None else " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
