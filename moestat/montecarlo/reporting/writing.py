"""The report: what it holds, and its two forms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from moestat.montecarlo.reporting.figures import as_link, as_png, gain_figure, rate_figure
from moestat.montecarlo.reporting.tables import Table
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


def report(
    study: Study,
    store: str | Path,
    path: str | Path,
    *,
    functional: str = "mean",
    window: tuple[float, float] | None = None,
) -> list[Path]:
    """Write a report of what a store holds of a study.

    Parameters
    ----------
    study : Study
    store : str or Path
    path : str or Path
        Ends in .html, for one page that stands alone, or in .md, with its figures beside it.
    functional : {"mean", "median", "geometric"}
        Whose slopes.
    window : tuple of float, optional
        The smallest and the largest sample size of the slopes.

    Returns
    -------
    list of Path
        The files that were written, the report first.
    """
    import jinja2

    target = Path(path)
    if target.suffix not in TEMPLATES:
        raise InputError(f"path must end in one of {list(TEMPLATES)}; got {str(target)!r}.")
    with Store.open(store, read_only=True) as journal:
        found = list(groups(study, journal))
        about = _about(study, journal)
    if not found:
        raise InputError(f"{str(store)!r} holds no rows of the study {study.name!r} yet. Run it first.")
    sections = _sections(study, found, Options(functional, window))
    template = files("moestat.montecarlo.reporting").joinpath(TEMPLATES[target.suffix]).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=target.suffix == ".html", trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"cell": _markdown_cell, "spoken": spoken}
    text = environment.from_string(template).render(
        study=study, about=about, sections=sections, version=__version__, stem=target.stem
    )
    written = [target]
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".md":
        for section in sections:
            for picture in section.pictures:
                file = target.with_name(f"{target.stem}-{picture.name}.png")
                file.write_bytes(picture.png)
                written.append(file)
    target.write_text(text, encoding="utf-8")
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
def _sections(study: Study, found: list[Group], options: Options) -> list[Section]:
    main = [one for group in found for one in measurements(study, group, options)]
    return [
        _verdicts(study, found, main),
        _performance(study, found),
        _certificates(study, found),
        _details(study, found, options),
    ]


def _verdicts(study: Study, found: list[Group], main: list[Measurement]) -> Section:
    names = list(dict.fromkeys(one.measure for one in main))
    pictures = []
    for i, name in enumerate(names):
        figure = rate_figure(name, main)
        if figure is not None:
            caption = f"{name} against n: estimates with 95 % Monte Carlo intervals, fitted lines, predicted slope."
            pictures.append(Picture(f"slope-{i + 1}", caption, as_png(figure)))
    gain = gain_figure([group for group in found if gain_of(study, group) is not None])
    if gain is not None:
        caption = "Gain of log-likelihood over the reference fit, by n."
        pictures.append(Picture("gain", caption, as_png(gain)))
    sentences = [f"{one.fit}, {one.protocol}, {one.measure}: {_said(one)}" for one in main]
    sources = dict.fromkeys(
        f"{one.fit}, {one.measure}: {tables.in_words(one.predicted.rate) if one.predicted.rate else 'no rate'}; "
        f"{one.predicted.source}"
        for one in main
        if one.predicted.source
    )
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
        tuple(sentences) + tuple(f"Predicted: {source}" for source in sources),
        tuple(pictures),
        (tables.slopes_table(main, "Slopes", note),),
        tuple(evidence),
    )


def _said(one: Measurement) -> str:
    return f"no slope: {one.problem}" if one.verdict is None else str(one.verdict)


def _performance(study: Study, found: list[Group]) -> Section:
    names = list(dict.fromkeys(name for group in found for name in main_measures(study, group.fit)))
    shown = [tables.performance_table(found, name) for name in names]
    gains = tables.gains_table(found)
    accuracy = tables.accuracy_table(study, found)
    return Section(
        "Performance",
        tables=tuple(shown) + ((gains,) if gains else ()),
        folded_tables=(accuracy,) if accuracy else (),
    )


def _certificates(study: Study, found: list[Group]) -> Section:
    names = [name for group in found for name in main_measures(study, group.fit)]
    failures = tables.failures_table(found, names[0] if names else "loglik")
    sentences = () if failures else ("No replication failed.",)
    return Section(
        "Replications and certificates",
        sentences,
        tables=(*((failures,) if failures else ()), tables.certificates_table(found)),
        folded_tables=(tables.counts_table(study, found),),
    )


def _details(study: Study, found: list[Group], options: Options) -> Section:
    """Summands of losses, deviations of parameters, and configurations of cells."""
    parts = [one for group in found for one in measurements(study, group, options, parts_of(group))]
    shown = [one for one in parts if one.slope is not None]
    note = "Summands of losses, and errors of parameters in exactly and in over-covered cells."
    return Section(
        "Where the losses come from",
        folded_tables=(tables.slopes_table(shown, "Slopes of summands and deviations", note),) if shown else (),
        tables=tuple(_strata_tables(study, found, options)),
    )


def _strata_tables(study: Study, found: Sequence[Group], options: Options) -> list[Table]:
    out = []
    for group in found:
        names = main_measures(study, group.fit)
        if not names or not any(name.startswith("cell/") for name in group.columns):
            continue
        strata = strata_of(study, group, names[0], options)
        if strata is None:
            continue
        shares = strata.to_frame()
        rows = []
        for label in strata.shares:
            own = strata.slopes.get(label)
            said = (
                strata.without.get(label, "")
                if own is None
                else f"{own.slope:.3f} [{own.interval[0]:.3f}, {own.interval[1]:.3f}]"
            )
            first, last = (float(shares[label].iloc[i]) for i in (0, -1))
            rows.append((label, f"{100 * first:.0f}", f"{100 * last:.0f}", said))
        head = (
            "configuration",
            "share at the smallest n, %",
            "at the largest, %",
            f"slope of {names[0]}",
        )
        out.append(Table(f"Configurations of cells: {group.fit}, {group.protocol}", head, tuple(rows)))
    return out


def _about(study: Study, journal: Store) -> dict[str, Any]:
    """Where the numbers come from."""
    kinds = [json.loads(text) for text in journal.versions()]
    return {
        "digest": journal.results_digest(),
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
