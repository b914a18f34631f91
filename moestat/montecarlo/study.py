"""A simulation study as data: what is drawn, how often, what is fitted and how, and what is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from moestat.errors import InputError
from moestat.montecarlo.canonical import digest_of, text_of
from moestat.montecarlo.covariates import CovariateLaw, Normal, read_covariates
from moestat.montecarlo.design import NESTED, Design, read_design
from moestat.montecarlo.fits import FittedModel, read_fits
from moestat.montecarlo.protocols import MLE, Protocol, read_protocols
from moestat.montecarlo.protocols.base import TRUTH
from moestat.montecarlo.reading import Table, at, shown
from moestat.montecarlo.recording import Record, Recorder, read_record
from moestat.montecarlo.rows import Cell
from moestat.montecarlo.toml_text import parse, read_file
from moestat.montecarlo.truth import Truth, read_truth
from moestat.spelling import suggestion
from moestat.theory.rates import Rate

#: Changes when the numbers of a cell mean something else, or come about in another way.
FORMAT = 1

#: By how much a slope may miss a prediction and still agree with it.
MARGIN = 0.05


@dataclass(frozen=True)
class StatedRate:
    """A rate that the study itself predicts, where the theory of the package has none or another.

    Parameters
    ----------
    measure : str
        Name of a column.
    rate : Rate
    bound : bool
        Whether errors may fall faster.
    source : str
    fit : str, optional
        The model that it is about; all when left out.
    """

    measure: str
    rate: Rate
    bound: bool = True
    source: str = ""
    fit: str | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """A simulation study.

    Parameters
    ----------
    name : str
    truth : Truth
    design : Design
    fits : sequence of FittedModel
    covariates : CovariateLaw
    protocols : sequence of Protocol
    record : Record
    seed : int
    title, aims, source : str
        Words for the report.
    margin : float
        Slopes within this of the predicted ones agree with them.
    predictions : sequence of StatedRate
    text : str
        What the study was read from; its canonical form where it is made in Python.

    Raises
    ------
    InputError
        When the parts do not go together; the message names the path.

    Examples
    --------
    >>> import moestat as ms
    >>> from moestat import montecarlo as mc
    >>> model = ms.MixtureOfExperts(n_experts=2)
    >>> params = model.params(
    ...     gate=dict(slopes=[[1.0], [0.0]], intercepts=[0.0, 0.0]),
    ...     expert=dict(slopes=[[1.0], [-1.0]], intercepts=[1.0, -1.0], variances=[0.25, 0.25]),
    ... )
    >>> study = mc.Study(
    ...     "two_experts", mc.Truth(model, params), mc.Design([100, 200, 400], 20), [mc.FittedModel("K2", model)]
    ... )
    >>> len(study.cells)
    3
    """

    name: str
    truth: Truth
    design: Design
    fits: Sequence[FittedModel]
    covariates: CovariateLaw = field(default_factory=Normal)
    protocols: Sequence[Protocol] = (MLE(),)
    record: Record = field(default_factory=Record)
    seed: int = 0
    title: str = ""
    aims: str = ""
    source: str = ""
    margin: float = MARGIN
    predictions: Sequence[StatedRate] = ()
    text: str = ""

    def __post_init__(self) -> None:
        with at("covariates"):
            self.covariates.check(self.truth.n_features)
        if self.design.samples == NESTED and not self.covariates.nests:
            raise InputError(
                f"design.samples: a {self.covariates.name} of more points is another design, of which a smaller sample "
                "is no part; use samples = 'independent'."
            )
        self._check_names()
        self._check_fits()
        if not self.cells:
            raise InputError("protocol: no protocol is for any of the models; look at their fits = [...].")
        if not self.text:
            object.__setattr__(self, "text", text_of({"study": self.name, "cells": [cell.text for cell in self.cells]}))

    # ------------------------------------------------------------------------------- doors
    @staticmethod
    def from_toml(path: str | Path) -> Study:
        """Read a study file.

        Raises
        ------
        InputError
            Names the file, and the path in it of what is wrong.
        """
        with at(str(path)):
            return Study.from_text(read_file(path))

    @staticmethod
    def from_text(text: str) -> Study:
        """Read the text of a study file; nothing in it is ever run."""
        tables = Table(parse(text), "")
        head = tables.table("study")
        words = {name: head.text(name, "") for name in ("title", "aims", "source")}
        name, seed = head.word("name"), head.whole("seed", 0, most=2**63)
        head.done()
        truth, covariates = read_truth(tables.table("truth")), read_covariates(tables.table("covariates"))
        design, fits = read_design(tables.table("design")), read_fits(tables.tables("fit"))
        protocols = read_protocols(tables.tables("protocol")) if tables.has("protocol") else (MLE(),)
        tables.take("protocol", None)
        record = read_record(tables.table("record", {}))
        verdict = tables.table("verdict", {})
        margin = verdict.number("margin", MARGIN, above=0.0, most=1.0)
        verdict.done()
        predictions = [_read_rate(table) for table in tables.tables("prediction")] if tables.has("prediction") else []
        tables.take("prediction", None)
        tables.done()
        return Study(
            name=name,
            truth=truth,
            covariates=covariates,
            design=design,
            fits=fits,
            protocols=protocols,
            record=record,
            seed=seed,
            margin=margin,
            predictions=predictions,
            text=text,
            **words,
        )

    # ------------------------------------------------------------------------------- parts by name
    def fit(self, name: str) -> FittedModel:
        """A fitted model by its name."""
        return next(fitted for fitted in self.fits if fitted.name == name)

    def protocol(self, name: str) -> Protocol:
        """A protocol by its name."""
        return next(protocol for protocol in self.protocols if protocol.name == name)

    @property
    def reference(self) -> tuple[FittedModel, Protocol | None] | None:
        """The fit over which gains are reckoned, and its protocol; the same as the cell's where that is None."""
        if self.record.reference is None:
            return None
        fitted = self.fit(self.record.reference)
        mle = next((p for p in self.protocols if isinstance(p, MLE) and p.applies_to(fitted)), None)
        return fitted, mle

    @cached_property
    def recorders(self) -> dict[str, Recorder]:
        """What turns ends into numbers, by the name of the fitted model."""
        found = {}
        for i, fitted in enumerate(self.fits):
            with at(f"fit[{i}]"):
                found[fitted.name] = Recorder(self.record, fitted, self.truth, self.covariates)
        return found

    # ------------------------------------------------------------------------------- cells
    @cached_property
    def sampled(self) -> dict[str, Any]:
        """What the data depend on, but for the size of the sample and the seed."""
        return {"truth": self.truth.to_plain(), "covariates": self.covariates.to_plain()}

    def sample_digest(self, n: int) -> str:
        """What the random numbers of a sample hang on: the truth, the law of the covariates and, unless nested, n."""
        return digest_of(self.sampled | ({} if self.design.samples == NESTED else {"n": n}))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every sample size, fitted model and protocol that goes with it."""
        return tuple(
            Cell(n, fitted.name, protocol.name, self._cell_text(n, fitted, protocol), columns)
            for fitted in self.fits
            for columns in (self.recorders[fitted.name].columns,)
            for protocol in self.protocols
            if protocol.applies_to(fitted)
            for n in self.design.n
        )

    def _cell_text(self, n: int, fitted: FittedModel, protocol: Protocol) -> str:
        reference = self.reference
        gain = None
        if reference is not None:
            gain = {"fit": reference[0].plain, "protocol": self._plain(reference[1] or protocol)}
        labels = self.record.losses if fitted.losses is None else fitted.losses
        return text_of(
            {
                "format": FORMAT,
                "data": self.sampled | {"n": n, "seed": self.seed, "samples": self.design.samples},
                "fit": fitted.plain,
                "protocol": self._plain(protocol),
                "record": {
                    "losses": labels,
                    "distances": self.record.distances,
                    "distance_points": self.record.distance_points,
                    "estimates": self.record.estimates,
                    "reference": gain,
                },
            }
        )

    def _plain(self, protocol: Protocol) -> dict[str, Any]:
        """A protocol with those whose ends it starts from."""
        beside = [self._plain(self.protocol(name)) for name in protocol.polish_from if name != TRUTH]
        return protocol.to_plain() | ({"others": beside} if beside else {})

    # ------------------------------------------------------------------------------- checks
    def _check_names(self) -> None:
        for what, parts in (("fit", self.fits), ("protocol", self.protocols)):
            names = [part.name for part in parts]
            if not names or len(set(names)) < len(names):
                raise InputError(f"{what}: names must be different, one at least; got {names}.")
        names = [fitted.name for fitted in self.fits]
        if self.record.reference not in (None, *names):
            raise InputError(
                f"record.reference must be the name of a fit, one of {names}; got {self.record.reference!r}."
                f"{suggestion(str(self.record.reference), names)}"
            )
        for i, stated in enumerate(self.predictions):
            if stated.fit not in (None, *names):
                raise InputError(f"prediction[{i}].fit must be the name of a fit, one of {names}; got {stated.fit!r}.")
        for i, protocol in enumerate(self.protocols):
            self._check_protocol(f"protocol[{i}]", protocol, names)

    def _check_protocol(self, path: str, protocol: Protocol, fits: list[str]) -> None:
        known = [TRUTH, *(other.name for other in self.protocols if other.name != protocol.name)]
        for name in protocol.polish_from:
            if name not in known:
                raise InputError(f"{path}.polish_from names {shown(name)}; known are {known}.{suggestion(name, known)}")
        for name in protocol.fits or ():
            if name not in fits:
                raise InputError(f"{path}.fits names {shown(name)}; known are {fits}.{suggestion(name, fits)}")
        if any(protocol.name in self._behind(name) for name in protocol.polish_from if name != TRUTH):
            raise InputError(f"{path}.polish_from leads back to {protocol.name!r} itself. Break the circle.")

    def _check_others(self, protocol: Protocol, fitted: FittedModel) -> None:
        """A protocol whose end is a start must be one for the same model."""
        for name in protocol.polish_from:
            if name != TRUTH and not self.protocol(name).applies_to(fitted):
                raise InputError(
                    f"polish_from names {name!r}, which is not for {fitted.name!r}. Name the models of both with "
                    "fits = [...]."
                )

    def _behind(self, name: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        """Protocols that one needs before it can start, itself among them."""
        if name in seen:
            return seen
        found = seen | {name}
        for other in self.protocol(name).polish_from:
            if other != TRUTH and other in [protocol.name for protocol in self.protocols]:
                found |= self._behind(other, found)
        return found

    def _check_fits(self) -> None:
        for i, fitted in enumerate(self.fits):
            with at(f"fit[{i}]"):
                if fitted.model.n_experts > self.design.n[0]:
                    raise InputError(
                        f"n_experts={fitted.model.n_experts} are more than the {self.design.n[0]} rows of the smallest "
                        "sample in design.n."
                    )
                if fitted.model.expert.categorical != self.truth.model.expert.categorical:
                    raise InputError(
                        f"{fitted.name!r} and the truth must describe the same kind of response: classes, or numbers."
                    )
                fitted.check(self.truth.schema)
        for i, protocol in enumerate(self.protocols):
            for fitted in self.fits:
                if protocol.applies_to(fitted):
                    with at(f"protocol[{i}]"):
                        protocol.check(fitted, self.truth, self.design.n)
                        self._check_others(protocol, fitted)
        self._check_measures()

    def _check_measures(self) -> None:
        """Predictions are of columns; that there are recorders says that the losses are known."""
        columns = sorted({name for recorder in self.recorders.values() for name in recorder.columns})
        for i, stated in enumerate(self.predictions):
            if stated.measure not in columns:
                raise InputError(
                    f"prediction[{i}].measure must be the name of a column, one of {columns}; got {stated.measure!r}."
                    f"{suggestion(stated.measure, columns)}"
                )


def _read_rate(table: Table) -> StatedRate:
    found = StatedRate(
        measure=table.text("measure"),
        rate=Rate(table.read("exponent", _fraction), table.read("log_power", _fraction, 0)),
        bound=table.flag("bound", True),
        source=table.text("source", ""),
        fit=table.text("fit") if table.has("fit") else None,
    )
    table.done()
    return found


def _fraction(value: Any) -> Fraction:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = Fraction(value).limit_denominator(10_000)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InputError(f'must be a number, or a fraction as "1/2"; got {value!r}.') from None
    if not 0 <= found <= 100:
        raise InputError(f"must lie between 0 and 100; got {value!r}.")
    return found
