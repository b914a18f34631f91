"""Options that several commands share, and how options are declared: by the panel of the help page they stand in."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moestat.errors import InputError

if TYPE_CHECKING:
    from moestat.results import Results


def _option(panel: str, help: str, *flags: str) -> Any:
    return typer.Option(*flags, help=help, rich_help_panel=panel)


of_model = partial(_option, "The model")
of_fit = partial(_option, "The fit")
of_run = partial(_option, "The run")
of_output = partial(_option, "Output")
of_file = partial(_option, "Reading the file")

Table = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A .csv, .tsv or .parquet file; - reads CSV from standard input."),
]
Overwrite = Annotated[bool, of_output("Replace what is there.", "--overwrite")]
Quiet = Annotated[bool, of_output("Print nothing but errors.", "--quiet", "-q")]
Level = Annotated[float, of_output("Level of the confidence limits.")]
Sep = Annotated[str | None, of_file("Delimiter of a CSV file. (default: comma, or tab for .tsv)")]
Decimal = Annotated[str, of_file("Decimal point of a CSV file.")]
Encoding = Annotated[str, of_file("Encoding of a CSV file.")]
Thousands = Annotated[str | None, of_file("Thousands separator of a CSV file.")]
KeepNA = Annotated[bool, of_file("NA, nan, null and their like are text: only empty entries are missing.", "--keep-na")]
NA = Annotated[list[str] | None, of_file("Also read this entry as missing (may be repeated).", "--na")]


class Covariance(StrEnum):
    """Covariance of the standard errors: the last two are those of least squares, the first two of likelihoods."""

    OBSERVED = "observed"
    OPG = "opg"
    SANDWICH = "sandwich"
    HC1 = "hc1"
    CLASSICAL = "classical"


Errors = Annotated[
    Covariance | None,
    of_output("Covariance of the standard errors. (default: observed; sandwich for least squares)", "--covariance"),
]


def alpha_of(level: float) -> float:
    """One minus the level of limits."""
    if not 0 < level < 1:
        raise InputError(f"--level must lie between 0 and 1, as 0.95 does; got {level:g}.")
    return round(1 - level, 12)  # 0.05 for 0.95, as a Python user would write


def covariance_of(results: Results | type[Results], asked: str | None) -> str:
    """The covariance asked for, if this fit, or kind of fit, has it; else its first."""
    if asked is not None and asked not in results.kinds:
        raise InputError(
            f"--covariance of a {results.objective.replace('_', ' ')} fit must be one of {', '.join(results.kinds)}; "
            f"got {asked}."
        )
    return results.kinds[0] if asked is None else str(asked)
