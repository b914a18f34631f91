"""``moestat study repair``: a whole store of what is left in a damaged one."""

from __future__ import annotations

import typer

from moestat.cli.study.places import Place, StudyOrStore
from moestat.cli.study.voice import speaking


def command(path: StudyOrStore) -> None:
    """Make a whole store of everything in a damaged one that is still as it was written.

    moestat study repair rates.toml

    The damaged file is kept beside it. Rows that were lost are named; the next run computes them again.
    """
    with speaking():
        from moestat.montecarlo import repair

        typer.echo(str(repair(Place.of(path).store)))
