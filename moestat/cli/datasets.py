"""``moestat datasets``: the data sets that come along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moestat.cli.options import Overwrite, Quiet, of_output
from moestat.cli.voice import speaking, tell


def command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A data set; without it all are listed.")] = None,
    out: Annotated[Path | None, of_output("Write its rows to this .csv, .tsv or .parquet file.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """List the data sets, describe one, or write its rows to a file.

    moestat datasets tone --out tone.csv
    """
    with speaking(quiet):
        from moestat.cli.tables import check_writable, write_table
        from moestat.datasets import DATASETS, load
        from moestat.errors import InputError

        if name is None:
            if out is not None:
                raise InputError("--out needs the name of a data set, as in: moestat datasets tone --out tone.csv")
            for known in DATASETS.values():
                typer.echo(f"{known.name:15} {known.description}")
            return
        data = load(name)
        if out is None:
            typer.echo(str(data))
            return
        check_writable(out, overwrite)
        frame = data.frame
        write_table(frame, out)
        if not quiet:
            tell(f"Written: {out}, {len(frame)} rows of {', '.join(frame.columns)}")
