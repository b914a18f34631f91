"""Commands as a shell would run them, in this process."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from typer.testing import CliRunner

import moestat as ms
from moestat.cli import app


@dataclass(frozen=True)
class Run:
    """What a command said, and what it returned to the shell."""

    code: int
    out: str
    err: str


def moestat(*words: object, given: str | bytes | None = None) -> Run:
    """Run a command; an exception that it did not foresee is raised here."""
    result = CliRunner().invoke(app, [str(word) for word in words], input=given, catch_exceptions=False)
    return Run(result.exit_code, result.stdout, result.stderr)


def refused(*words: object, given: str | bytes | None = None) -> str:
    """The error of a command that must refuse: one line, exit code 2, nothing on standard output."""
    run = moestat(*words, given=given)
    assert (run.code, run.out) == (2, ""), run
    assert run.err.startswith("Error: ")
    assert run.err.count("\n") == 1
    return run.err


def tone() -> pd.DataFrame:
    """Rows that most tests fit."""
    return ms.datasets.load("tone").frame
