"""``moestat warmup``: compile now what the first fits would wait for."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from moestat.cli.options import Quiet, of_model
from moestat.cli.voice import speaking


def command(
    every: Annotated[bool, of_model("Every gate and every expert, in every form.", "--all")] = False,
    gate: Annotated[list[str] | None, of_model("Only this gate, as text (may be repeated).")] = None,
    expert: Annotated[list[str] | None, of_model("Only this expert, as text (may be repeated).")] = None,
    quiet: Quiet = False,
) -> None:
    """Compile the kernels that fits need, and keep them for later.

    moestat warmup

    Without options, those of the gates and experts that most fits are made of. What is compiled already stays.
    """
    with speaking(quiet):
        from moestat.errors import InputError
        from moestat.warming import ALL_EXPERTS, ALL_GATES, COMMON_EXPERTS, COMMON_GATES, warmup

        if every and (gate or expert):
            raise InputError("--all leaves nothing for --gate and --expert to add; pass one or the other.")
        chosen = gate is not None or expert is not None
        gates, experts = (ALL_GATES, ALL_EXPERTS) if every else (COMMON_GATES, COMMON_EXPERTS)
        warmth = warmup(
            (gate or ()) if chosen else gates,
            (expert or ()) if chosen else experts,
            progress=not quiet and sys.stderr.isatty(),
        )
        if not quiet:
            typer.echo(str(warmth))
