"""How commands speak: results on standard output, all else on standard error; errors in the words of the options."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer

from moestat.errors import MoestatError, MoestatWarning, StoreError


class ExitCode(IntEnum):
    """What a command returns to the shell."""

    DONE = 0
    BUG = 1  # Python's own code for an exception that nobody expected
    BAD_INPUT = 2
    UNTRUSTED = 3
    UNAVAILABLE = 69  # this and the next two have their names and numbers from sysexits.h
    NOT_STORED = 74
    UNFINISHED = 75
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 done; 2 bad input, nothing was written; 3 done, but the fit did not end at a maximum that can be "
    "trusted (the verdict says where it ended); 130 interrupted, nothing was written; 1 an error that moestat did not "
    "foresee."
)

Options = Sequence[tuple[str, str]]

#: Words of the Python interface, and what to type instead.
_OPTIONS = (
    (r"missing='(\w+)'", r"--missing \1"),
    (r"\bn_experts=(\d+)", r"--experts \1"),
    (r"\bn_experts\b", "--experts"),
    (r"\bn_starts\b", "--starts"),
    (r"\bbound the variances\b", "bound the variances (--bound expert.variances=0.01:)"),
    (r" or an instance of (Gate|Expert)", ""),
    (r" For other settings pass a solver itself, such as .*$", ""),
    (r"the first is row (\d+)", r"the first is row \1, counted from 0"),
    (
        r"(text among its numbers .*), such as ('.*?')\. Make it a column of numbers",
        r"\1, such as \2. Correct the file, or pass --na \2 if that means a missing entry",
    ),
    (r"(thousands separator in .*)\. Make it a column of numbers", r"\1. Pass --thousands ','"),
    (r"(with a decimal comma in .*)\. Make it a column of numbers", r"\1. Pass --decimal ','"),
    (
        r"(for thousands or for decimals, .*)\. Make it a column of numbers",
        r"\1. Pass --thousands ',' or --decimal ','",
    ),
    (r": convert the column by \.astype\(\w+\)", ""),
    (r" See results\.certificate\.", ""),
    (r", or use the default solver\b", ", or leave --solver out"),
)


def in_options(text: str, options: Options = _OPTIONS) -> str:
    """A message of the package in the words of the command line."""
    for words, option in options:
        text = re.sub(words, option, text)
    return text


def tell(text: str) -> None:
    """A line on standard error."""
    typer.echo(text, err=True)


@contextmanager
def speaking(
    quiet: bool = False, interrupted: str = "Nothing was written.", options: Options = _OPTIONS
) -> Iterator[None]:
    """Errors and warnings as lines on standard error, and the exit code that goes with them.

    Each warning is told once, and not at all if ``quiet``; ``interrupted`` is what an interrupt leaves behind, and
    ``options`` turns words of Python into those of the command.
    """
    told: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if not quiet and str(message) not in told:
            told.add(str(message))
            tell(f"Warning: {in_options(str(message), options)}")

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", MoestatWarning)
            warnings.showwarning = show
            yield
    except StoreError as error:
        tell(f"Error: {in_options(str(error), options)}")
        raise typer.Exit(ExitCode.NOT_STORED) from None
    except MoestatError as error:
        tell(f"Error: {in_options(str(error), options)}")
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except OSError as error:
        tell(f"Error: {error.filename or 'a file'} cannot be read or written: {error.strerror or error}.")
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    except KeyboardInterrupt:
        tell(f"Interrupted. {interrupted}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
