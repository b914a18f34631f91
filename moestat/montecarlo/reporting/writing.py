"""The report: what it holds, and its two forms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from moestat import __version__
from moestat.errors import InputError
from moestat.montecarlo.collecting import Group, groups
from moestat.montecarlo.measuring import (
    Measurement,
    Options,
    gain_of,
    main_measures,
    measurements,
    parts_of,
    strata_of,
)
from moestat.montecarlo.reporting import tables
from moestat.montecarlo.reporting.figures import GainCurve, as_link, as_png, gain_figure, rate_figure
from moestat.montecarlo.reporting.tables import Table, joined
from moestat.montecarlo.slopes.printing import in_words
from moestat.montecarlo.store import Store
from moestat.montecarlo.study import Study

#: Forms by suffix, and their templates.
TEMPLATES = {".html": "report.html.j2", ".md": "report.md.j2"}


@dataclass(frozen=True)
class Picture:
    """A figure with its name and what it shows."""

    name: str
    caption: str
    png: bytes = field(repr=False)

    @property
    def link(self) -> str:
        """The picture inside a page."""
        return as_link(self.png)


@dataclass(frozen=True)
class Section:
    """A part of a report: sentences, pictures, tables, and texts set as they are; long ones are folded away."""

    title: str
    sentences: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[tuple[str, str], ...] = ()
    folded_tables: tuple[Table, ...] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """A report that was written; prints its verdicts.

    Parameters
    ----------
    files : tuple of Path
        The page first, then the figures beside it.
    verdicts : tuple of Measurement
        Slopes of losses and distances.
    """

    files: tuple[Path, ...]
    verdicts: tuple[Measurement, ...]

    def __str__(self) -> str:
        return "\n".join(f"{one.fit}, {one.protocol}, {one.measure}: {_said(one)}" for one in self.verdicts)


def report(
    study: Study,
    store: str | Path,
    path: str | Path,
    *,
    functional: str = "mean",
    window: tuple[float, float] | None = None,
) -> Report:
    """Write a report of what a store holds of a study.

    Parameters
    ----------
    study : Study
    store : str or Path
    path : str or Path
        Ends in .html, for one page that stands alone, or in .md, with its figures beside it. An earlier report is
        replaced.
    functional : {"mean", "median", "geometric"}
        Whose slopes.
    window : tuple of float, optional
        The smallest and the largest sample size of the slopes.

    Returns
    -------
    Report
    """
    target = Path(path)
    if target.suffix not in TEMPLATES:
        raise InputError(f"path must end in one of {list(TEMPLATES)}; got {str(target)!r}.")
    with Store.open(store, read_only=True) as journal:
        parts = [Part.of(study, group, Options(functional, window)) for group in groups(study, journal)]
        if not parts:
            raise InputError(f"{str(store)!r} holds no rows of the study {study.name!r} yet. Run it first.")
        about = _about(study, journal, {name: own for part in parts for name, own in part.joint.items()})
    sections = [_verdicts(study, parts), _performance(parts), _certificates(parts), _origins(parts)]
    text = _rendered(target, study, about, sections)
    target.parent.mkdir(parents=True, exist_ok=True)
    figures = _figures_beside(target, sections) if target.suffix == ".md" else []
    target.write_text(text, encoding="utf-8")
    return Report((target, *figures), tuple(one for part in parts for one in part.main))


def _rendered(target: Path, study: Study, about: Mapping[str, Any], sections: Sequence[Section]) -> str:
    import jinja2

    template = files("moestat.montecarlo.reporting").joinpath(TEMPLATES[target.suffix]).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=target.suffix == ".html", trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"cell": _markdown_cell, "spoken": spoken}
    return environment.from_string(template).render(
        study=study, about=about, sections=sections, version=__version__, stem=target.stem
    )


def _figures_beside(target: Path, sections: Sequence[Section]) -> list[Path]:
    written = []
    for picture in (picture for section in sections for picture in section.pictures):
        file = target.with_name(f"{target.stem}-{picture.name}.png")
        file.write_bytes(picture.png)
        written.append(file)
    return written


def spoken(settings: Any) -> str:
    """Settings as words: names and values, one after the other."""
    if isinstance(settings, Mapping):
        named = {name: value for name, value in settings.items() if name not in ("kind", "name", "law")}
        kind = settings.get("kind") or settings.get("law") or ""
        words = [f"{name} {spoken(value)}" for name, value in named.items() if value not in ((), [])]
        return f"{kind} ({'; '.join(words)})" if kind else "; ".join(words)
    if isinstance(settings, list | tuple):
        return ", ".join(map(spoken, settings))
    return str(settings)


def _markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# --------------------------------------------------------------------------------------- what it holds
@dataclass(frozen=True, eq=False)
class Part:
    """What a report keeps of one fitted model under one protocol, whose rows are then let go."""

    main: tuple[Measurement, ...]
    performance: tuple[Table, ...]
    gains: Table | None
    accuracy: Table | None
    failures: Table | None
    certificates: Table
    counts: Table
    summands: Table | None
    strata: Table | None
    gain: GainCurve | None
    joint: Mapping[str, bytes]

    @staticmethod
    def of(study: Study, group: Group, options: Options) -> Part:
        """All of it."""
        names = main_measures(study, group.fit)
        summands = [one for one in measurements(study, group, options, parts_of(group)) if one.slope is not None]
        return Part(
            main=tuple(measurements(study, group, options)),
            performance=tuple(tables.performance_table(group, name) for name in names),
            gains=tables.gains_table(group),
            accuracy=tables.accuracy_table(study, group),
            failures=tables.failures_table(group, names[0] if names else "loglik"),
            certificates=tables.certificates_table(group),
            counts=tables.counts_table(group),
            summands=tables.slopes_table(summands, "Slopes of summands and deviations", SUMMANDS) if summands else None,
            strata=tables.strata_table(group, names[0], strata_of(study, group, names[0], options)) if names else None,
            gain=None if gain_of(study, group) is None else GainCurve.of(group),
            joint=group.joint,
        )


SUMMANDS = "Summands of losses, and errors of parameters in exactly and in over-covered cells."


def _verdicts(study: Study, parts: Sequence[Part]) -> Section:
    main = [one for part in parts for one in part.main]
    sentences = [f"{one.fit}, {one.protocol}, {one.measure}: {_said(one)}" for one in main]
    note = (
        "A slope is that of the sizes that were run. Its verdict compares it with the predicted exponent, with and "
        f"without the factor of log n, give or take {study.margin:g}."
    )
    evidence = [
        (f"{one.fit}, {one.protocol}, {one.measure}: the evidence", str(one.slope))
        for one in main
        if one.slope is not None
    ]
    return Section(
        "Slopes and verdicts",
        (*sentences, *_sources(main)),
        tuple(_pictures(main, parts)),
        (tables.slopes_table(main, "Slopes", note),),
        tuple(evidence),
    )


def _sources(main: Sequence[Measurement]) -> list[str]:
    """Each prediction with its source, once."""
    found: dict[str, None] = {}
    for one in main:
        if one.predicted.source:
            rate = "no rate" if one.predicted.rate is None else in_words(one.predicted.rate)
            found.setdefault(f"Predicted: {one.fit}, {one.measure}: {rate}; {one.predicted.source}")
    return list(found)


def _pictures(main: Sequence[Measurement], parts: Sequence[Part]) -> Iterator[Picture]:
    for i, name in enumerate(dict.fromkeys(one.measure for one in main), start=1):
        figure = rate_figure(name, main)
        if figure is not None:
            caption = f"{name} against n: estimates with 95 % Monte Carlo intervals, fitted lines, predicted slope."
            yield Picture(f"slope-{i}", caption, as_png(figure))
    gain = gain_figure([part.gain for part in parts if part.gain is not None])
    if gain is not None:
        yield Picture("gain", "Gain of log-likelihood over the reference fit, by n.", as_png(gain))


def _said(one: Measurement) -> str:
    if one.verdict is None:
        return f"no verdict: {one.problem}"
    return " ".join([str(one.verdict), *one.remarks])


def _performance(parts: Sequence[Part]) -> Section:
    return Section(
        "Performance",
        tables=(*joined(table for part in parts for table in part.performance), *joined(part.gains for part in parts)),
        folded_tables=joined(part.accuracy for part in parts),
    )


def _certificates(parts: Sequence[Part]) -> Section:
    failures = joined(part.failures for part in parts)
    return Section(
        "Replications and certificates",
        () if failures else ("No replication failed.",),
        tables=(*failures, *joined(part.certificates for part in parts)),
        folded_tables=joined(part.counts for part in parts),
    )


def _origins(parts: Sequence[Part]) -> Section:
    """Summands of losses, deviations of parameters, and configurations of cells."""
    return Section(
        "Where the losses come from",
        tables=joined(part.strata for part in parts),
        folded_tables=joined(part.summands for part in parts),
    )


def _about(study: Study, journal: Store, joint: Mapping[str, bytes]) -> dict[str, Any]:
    """Where the numbers come from."""
    kinds = [json.loads(text) for text in journal.versions()]
    return {
        "digest": journal.results_digest(joint),
        "versions": [", ".join(f"{name} {value}" for name, value in kind.items()) for kind in kinds],
        "store": Path(journal.path).name,
        "seed": study.seed,
        "truth": study.truth,
        "parameters": _parameters(study),
        "sizes": ", ".join(map(str, study.design.n)),
        "text": study.text,
    }


def _parameters(study: Study) -> str:
    truth = study.truth
    layout, names = truth.model.layout(truth.schema), truth.model.names(truth.schema)
    natural = layout.natural(layout.pack(truth.params))
    return "; ".join(f"{name} = {value:.6g}" for name, value in zip(names, natural, strict=True))
