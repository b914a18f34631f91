"""``moestat fit``: a table and a formula in, a certified fit out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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
    of_fit,
    of_model,
    of_output,
)
from moestat.cli.voice import ExitCode, speaking, tell
from moestat.errors import InputError


class Objective(StrEnum):
    """What is maximised, or minimised."""

    LIKELIHOOD = "likelihood"
    LEAST_SQUARES = "least_squares"


class Missing(StrEnum):
    """What becomes of rows with missing entries."""

    RAISE = "raise"
    DROP = "drop"


def command(
    context: typer.Context,
    data: Table,
    formula: Annotated[
        str,
        typer.Argument(
            metavar="FORMULA",
            help="In quotes: 'y ~ x | z', the experts' covariates, then the gate's. Several responses: 'y1 + y2 ~ x'.",
        ),
    ],
    experts: Annotated[int, of_model("Number of experts.", "--experts", "-k")] = 2,
    gate: Annotated[str, of_model("The gate: laplace, temperature(laplace), ... as text.")] = "softmax",
    expert: Annotated[str, of_model("The expert: multinomial, gaussian(variance='common'), ... as text.")] = "gaussian",
    weights: Annotated[str | None, of_model("Column of frequencies.")] = None,
    offset: Annotated[str | None, of_model("Column of known terms of the experts' predictors.")] = None,
    exposure: Annotated[str | None, of_model("Column of exposures, or of trials for the binomial expert.")] = None,
    fix: Annotated[list[str] | None, of_model("Hold a field: gate.slopes=0 (may be repeated).")] = None,
    bound: Annotated[
        list[str] | None,
        of_model("Bound a field: gate.slopes=-5:5, expert.variances=0.01: (may be repeated)."),
    ] = None,
    missing: Annotated[Missing, of_fit("Rows with missing entries.")] = Missing.RAISE,
    starts: Annotated[str | None, of_fit("Number of starts, or auto. (default: 20, more if none succeeds)")] = None,
    seed: Annotated[int, of_fit("Seed of the starts: the same seed, the same fit.")] = 0,
    objective: Annotated[Objective, of_fit("What to maximise, or minimise.")] = Objective.LIKELIHOOD,
    solver: Annotated[str | None, of_fit("A solver by name. (default: EM, then Newton)")] = None,
    out: Annotated[Path | None, of_output("Folder for the model, parameters, summary and figures.")] = None,
    overwrite: Overwrite = False,
    figures: Annotated[bool, of_output("Draw figures into the folder.")] = True,
    level: Level = 0.95,
    covariance: Errors = None,
    json: Annotated[bool, of_output("Print JSON instead of the summary.", "--json")] = False,
    quiet: Quiet = False,
    sep: Sep = None,
    decimal: Decimal = ".",
    thousands: Thousands = None,
    encoding: Encoding = "utf-8-sig",
    na: NA = None,
    keep_na: KeepNA = False,
) -> None:
    """Fit a mixture of experts, and say what kind of optimum it is.

    moestat fit data.csv "y ~ x" --experts 2 --out fit

    Prints the summary, and with --out writes a folder: the model, its parameters, the summary, figures.
    """
    with speaking(quiet):
        _check_one_formula(formula, context.args)
        alpha = alpha_of(level)
        from moestat.cli.dialects import Reading
        from moestat.cli.outputs import Folder, as_json, document, known_files, writers  # statsmodels takes a second
        from moestat.cli.tables import read_table
        from moestat.formula import moe
        from moestat.objectives import OBJECTIVES

        kind = covariance_of(OBJECTIVES[objective].results, covariance)

        folder = None if out is None else Folder(out, known_files(), overwrite)
        table = read_table(data, Reading(sep, decimal, thousands, encoding, na, keep_na))
        model = moe(
            formula,
            table,
            gate=gate,
            expert=expert,
            n_experts=experts,
            fixed=_fixed(fix),
            weights=weights,
            offset=offset,
            exposure=exposure,
            missing=missing.value,
        )
        results = model.fit(
            n_starts=_starts(starts),
            seed=seed,
            bounds=_bounds(bound),
            solver=solver,
            progress=not quiet and sys.stderr.isatty(),
            objective=objective.value,
        )
        settings = {"data": data, "formula": formula, "gate": gate, "expert": expert, "experts": experts, "seed": seed}
        found = document(results, settings, alpha, kind)
        if not quiet:
            typer.echo(as_json(found) if json else f"{results.summary(alpha, kind=kind)}")
        if folder is not None:
            written = folder.write(writers(results, found, alpha, kind, figures=figures))
            if not quiet:
                tell(f"Written to {out}: {', '.join(written)}")
    if not results.certificate.trusted:
        raise typer.Exit(ExitCode.UNTRUSTED)


def _check_one_formula(formula: str, rest: Sequence[str]) -> None:
    """A formula without quotes falls apart in the shell, which also replaces ~ by the home folder."""
    if rest or "~" not in formula:
        words = " ".join([formula, *rest])
        raise InputError(f'the formula must be one argument with a ~, in quotes: "y ~ x | z"; got {words!r}.')


def _starts(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    if not text.isdecimal():
        raise InputError(f"--starts must be a whole number of at least 1, or auto; got {text!r}.")
    return int(text)


def _fixed(given: Sequence[str] | None) -> dict[str, Any] | None:
    return {path: _number(text, f"--fix {path}") for path, text in _pairs(given, "--fix", "gate.slopes=0")} or None


def _bounds(given: Sequence[str] | None) -> dict[str, Any] | None:
    return {path: _interval(text, path) for path, text in _pairs(given, "--bound", "gate.slopes=-5:5")} or None


def _pairs(given: Sequence[str] | None, option: str, example: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for text in given or ():
        path, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"{option} must be a field and its value, as in {option} {example}; got {text!r}.")
        if path.strip() in dict(pairs):
            raise InputError(f"{option} names the field {path.strip()!r} twice; say it once.")
        pairs.append((path.strip(), value.strip()))
    return pairs


def _interval(text: str, path: str) -> Any:
    """``low:high``, either of which may be left out; one number c stands for -c:c, as in Python."""
    low, colon, high = text.partition(":")
    if not colon:
        return _number(text, f"--bound {path}")
    return tuple(None if end == "" else _number(end, f"--bound {path}") for end in (low.strip(), high.strip()))


def _number(text: str, of: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{of} must be given numbers; got {text!r}.") from None
