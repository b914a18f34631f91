"""``moestat predict``: a fitted model and new rows in, predictions out."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from moestat.cli.options import (
    NA,
    Decimal,
    Encoding,
    Errors,
    KeepNA,
    Level,
    Overwrite,
    Quiet,
    Sep,
    Table,
    Thousands,
    alpha_of,
    covariance_of,
    of_model,
    of_output,
)
from moestat.cli.voice import ExitCode, speaking, tell
from moestat.errors import InputError


class Missing(StrEnum):
    """What becomes of rows with missing entries."""

    RAISE = "raise"
    BLANK = "blank"


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder or the model.npz that moestat fit wrote.")],
    data: Table,
    offset: Annotated[str | None, of_model("Column of a known term of the linear predictor.")] = None,
    exposure: Annotated[str | None, of_model("Column of exposures, or of trials for the binomial expert.")] = None,
    gate: Annotated[bool, of_output("Add the weights of the gate.", "--gate")] = False,
    experts: Annotated[bool, of_output("Add the mean of every expert.", "--experts")] = False,
    responsibilities: Annotated[
        bool,
        of_output("Add the probability of every expert given the response, a column of DATA.", "--responsibilities"),
    ] = False,
    density: Annotated[bool, of_output("Add log p(y | x), in nats.", "--density")] = False,
    keep: Annotated[list[str] | None, of_output("Copy this column of DATA, or all (may be repeated).")] = None,
    missing: Annotated[Missing, of_output("Rows with missing entries: refused, or left empty.")] = Missing.RAISE,
    out: Annotated[Path | None, of_output("File for the predictions. (default: CSV on standard output)")] = None,
    overwrite: Overwrite = False,
    level: Level = 0.95,
    covariance: Errors = None,
    json: Annotated[bool, of_output("Print JSON, an object per row, instead of CSV.", "--json")] = False,
    quiet: Quiet = False,
    sep: Sep = None,
    decimal: Decimal = ".",
    thousands: Thousands = None,
    encoding: Encoding = "utf-8-sig",
    na: NA = None,
    keep_na: KeepNA = False,
) -> None:
    """Predict new rows with a fitted model: means, their standard errors and limits, limits of a new response.

    moestat predict fit new.csv --out predictions.csv

    One row comes out for each row of DATA, in its order; several responses have columns each, as mean[y1].
    """
    with speaking(quiet):
        alpha = alpha_of(level)
        from moestat.cli.dialects import Reading
        from moestat.cli.outputs import as_json, plain
        from moestat.cli.predictions import ADDED, Rows, beside, kept, predicted, text_columns
        from moestat.cli.tables import check_writable, read_table, write_table
        from moestat.loading import load

        if out is not None:
            check_writable(out, overwrite)
        results = load(_model_file(model))
        reading = Reading(sep, decimal, thousands, encoding, na, keep_na)
        table = read_table(data, reading, text_columns(results))
        asked = {"gate": gate, "experts": experts, "responsibilities": responsibilities, "density": density}
        terms = {name: column for name, column in (("offset", offset), ("exposure", exposure)) if column is not None}
        scored = responsibilities or density
        rows = Rows.of(results, table, terms, scored=scored, blank=missing is Missing.BLANK)
        added = [ADDED[name](rows) for name, wanted in asked.items() if wanted]
        found = rows.aligned(
            beside(kept(rows, keep), [predicted(rows, alpha, covariance_of(results, covariance)), *added])
        )
        if out is not None:
            write_table(found, out)
            if not quiet:
                tell(f"Written: {out}, {len(found)} rows of {', '.join(found.columns)}")
        elif json:
            typer.echo(as_json(plain(found.to_dict("records"))))
        else:
            found.to_csv(sys.stdout, index=False)
        if not results.certificate.trusted and not quiet:
            certificate = results.certificate
            tell(f"Warning: the fit of this model ended at: {certificate.measure.kind(certificate.status)}.")
    if not results.certificate.trusted:
        raise typer.Exit(ExitCode.UNTRUSTED)


def _model_file(path: Path) -> Path:
    """The model itself, or in the folder of a fit."""
    from moestat.cli.outputs import MODEL

    if path.is_dir():
        if not (path / MODEL).is_file():
            raise InputError(f"the folder {str(path)!r} holds no {MODEL}. Make one with: moestat fit ... --out {path}")
        return path / MODEL
    if not path.exists():
        raise InputError(f"there is no folder or file {str(path)!r}. Make a model with: moestat fit ... --out {path}")
    if path.suffix != Path(MODEL).suffix:
        raise InputError(
            f"MODEL, the first argument, must be the folder or the {MODEL} that moestat fit wrote; got {str(path)!r}."
        )
    return path
