"""``moestat study verify``: whether every byte of a store is as it was written."""

from __future__ import annotations

import typer

from moestat.cli.study.places import Place, StudyOrStore, as_typed
from moestat.cli.study.voice import speaking
from moestat.cli.voice import ExitCode, tell


def command(path: StudyOrStore) -> None:
    """Check every row, count and digest of a store; what is damaged is named.

    moestat study verify rates.toml
    """
    with speaking():
        from moestat.montecarlo import verify

        store = Place.of(path).store
        report = verify(store)
        typer.echo(str(report))
        if not report.clean:
            tell(f"To save the rest: {as_typed('repair', store)}")
            raise typer.Exit(ExitCode.NOT_STORED)
