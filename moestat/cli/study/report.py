"""``moestat study report``: slopes with verdicts, tables and figures, as a page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from moestat.cli.options import Quiet, of_output
from moestat.cli.study.places import Place, StudyOrStore
from moestat.cli.voice import speaking, tell
from moestat.errors import InputError


class Functional(StrEnum):
    """What stands for the losses of a sample size."""

    MEAN = "mean"
    MEDIAN = "median"
    GEOMETRIC = "geometric"


def command(
    path: StudyOrStore,
    out: Annotated[
        Path | None, of_output("A .html file, or a .md file with figures beside it. (default: STUDY.html)")
    ] = None,
    functional: Annotated[Functional, of_output("Whose slopes: of means, medians or geometric means.")] = (
        Functional.MEAN
    ),
    n_min: Annotated[float | None, of_output("Smallest sample size of the slopes.", "--from")] = None,
    n_max: Annotated[float | None, of_output("Largest sample size of the slopes.", "--to")] = None,
    quiet: Quiet = False,
) -> None:
    """Write a report of what there is so far, and print the verdicts. An earlier report is replaced.

    moestat study report rates.toml
    """
    with speaking(quiet):
        import matplotlib

        from moestat.montecarlo import report

        matplotlib.use("Agg")
        place = Place.of(path)
        target = place.store.with_suffix(".html") if out is None else out
        if target.suffix not in (".html", ".md"):
            raise InputError(f"--out must end in .html or .md; got {str(target)!r}.")
        study = place.study()
        window = None
        if n_min is not None or n_max is not None:
            low, high = study.design.n[0] if n_min is None else n_min, study.design.n[-1] if n_max is None else n_max
            if not 0 < low < high:
                raise InputError(f"--from and --to must be increasing sample sizes; got {low:g} and {high:g}.")
            window = (low, high)
        found = report(study, place.store, target, functional=functional.value, window=window)
        if not quiet:
            typer.echo(str(found))
            tell(f"Written: {', '.join(map(str, found.files))}")
