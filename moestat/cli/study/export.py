"""``moestat study export``: results as a file that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moestat.cli.options import Overwrite, Quiet
from moestat.cli.study.places import Place, StudyOrStore
from moestat.cli.study.voice import speaking
from moestat.cli.voice import tell
from moestat.errors import InputError

ENDINGS = (".parquet", ".csv")


def command(
    path: StudyOrStore,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .parquet or a .csv file.", show_default=False)],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write all results to a file, one row for each replication of each cell.

    moestat study export rates.toml rates.parquet

    Every row is checked on the way, and the same results give the same bytes. Parquet holds checksums, the study's text
    and the versions too; moestat.montecarlo.read_export reads it back and checks it.
    """
    with speaking(quiet):
        from moestat.cli.tables import check_free
        from moestat.montecarlo import Store

        if out.suffix.lower() not in ENDINGS:
            raise InputError(f"OUT must end in {' or '.join(ENDINGS)}; got {str(out)!r}.")
        check_free(out, overwrite, "OUT")
        with Store.open(Place.of(path).store, read_only=True) as store:
            store.export(out)
            rows = sum(sum(counts.values()) for counts in store.counts().values())
        if not quiet:
            tell(f"Written: {out}, {rows:,} rows")
