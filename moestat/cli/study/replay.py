"""``moestat study replay``: one replication run again, and set beside what the store has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moestat.cli.options import Overwrite, of_output
from moestat.cli.study.places import Place, StudyOrStore
from moestat.cli.study.voice import speaking
from moestat.cli.voice import ExitCode, tell

if TYPE_CHECKING:
    import pandas as pd

    from moestat.montecarlo import Replay


Cell = Annotated[str, typer.Argument(metavar="CELL", help="FIT/PROTOCOL/n=N, as K2/mle/n=1000.", show_default=False)]


def command(
    path: StudyOrStore,
    cell: Annotated[
        str, typer.Argument(metavar="CELL", help="FIT/PROTOCOL/n=N, as K2/mle/n=1000.", show_default=False)
    ],
    replication: Annotated[int, typer.Argument(metavar="REP", help="Counted from 0.", show_default=False)],
    save: Annotated[Path | None, of_output("Write the data to this .csv, .tsv or .parquet file.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Run one replication of one cell again: where it ends, its numbers, and whether the store has the same.

    moestat study replay rates.toml K2/mle/n=1000 17 --save data.csv
    """
    with speaking():
        from moestat.cli.tables import check_writable, write_table
        from moestat.montecarlo import replay

        if save is not None:
            check_writable(save, overwrite, "--save")
        place = Place.of(path)
        found = replay(place.study(), cell, replication, place.store)
        typer.echo(str(found))
        if save is not None:
            write_table(_data(found), save)
            tell(f"Written: {save}, {len(found.y)} rows")
    if found.identical is False:
        raise typer.Exit(ExitCode.UNTRUSTED)


def _data(found: Replay) -> pd.DataFrame:
    """The data of the replication: covariates x1, x2, ..., then the response y, or y1, y2, ... of several."""
    import pandas as pd

    columns = {f"x{i}": column for i, column in enumerate(found.X.T, start=1)}
    if found.y.ndim == 1:
        return pd.DataFrame(columns | {"y": found.y})
    return pd.DataFrame(columns | {f"y{i}": column for i, column in enumerate(found.y.T, start=1)})
