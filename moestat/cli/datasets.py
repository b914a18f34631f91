"""``moestat datasets``: the data sets that come along."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from moestat.cli.options import Overwrite, Quiet, of_output
from moestat.cli.voice import speaking, tell
from moestat.errors import InputError

if TYPE_CHECKING:
    from moestat.datasets import Dataset


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
        from moestat.datasets import load

        if name is None:
            if out is not None:
                raise InputError("--out needs the name of a data set, as in: moestat datasets tone --out tone.csv")
            typer.echo(_listed())
            return
        data = load(name)
        if out is None:
            typer.echo(f"{data}{_as_command(data)}")
            return
        check_writable(out, overwrite)
        frame = data.frame
        write_table(frame, out)
        if not quiet:
            tell(f"Written: {out}, {len(frame)} rows of {', '.join(frame.columns)}")


def _listed() -> str:
    """Every data set in a line: name, rows, title, suggested formula."""
    from moestat.datasets import DATASETS

    width = max(map(len, DATASETS))
    lines = [f"{name:{width}}  {len(data.frame):5}  {data.title}" for name, data in DATASETS.items()]
    return "\n".join([f"{'name':{width}}  {'rows':>5}", *lines])


def _as_command(data: Dataset) -> str:
    """The suggestion as the shell takes it."""
    if data.suggestion is None:
        return ""
    settings = {
        "--experts": data.suggestion.n_experts,
        "--gate": data.suggestion.gate,
        "--expert": data.suggestion.expert,
    }
    usual = {"--experts": 2, "--gate": "softmax", "--expert": "gaussian"}
    options = "".join(f" {name} {quote(str(value))}" for name, value in settings.items() if value != usual[name])
    fit = f'moestat fit {data.name}.csv "{data.suggestion.formula}"{options}'
    return f"\n\nIn a shell:\n    moestat datasets {data.name} --out {data.name}.csv\n    {fit}"
