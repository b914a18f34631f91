"""The ``moestat`` command."""

from __future__ import annotations

from typing import Annotated

import typer

from moestat import __version__
from moestat.cli import datasets, demo, fit, predict, study, warmup
from moestat.cli.voice import EXIT_CODES

app = typer.Typer(
    help="Statistical theory and simulation for mixture-of-experts gating.",
    epilog=f"{EXIT_CODES} Studies have more: moestat study --help.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"moestat {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Statistical theory and simulation for mixture-of-experts gating."""


# words beyond the declared ones are read too, to say what a formula without quotes has become
app.command("fit", epilog=EXIT_CODES, context_settings={"allow_extra_args": True}, no_args_is_help=True)(fit.command)
app.command("predict", epilog=EXIT_CODES, no_args_is_help=True)(predict.command)
app.command("datasets")(datasets.command)
app.command("demo")(demo.command)
app.command("warmup", epilog=EXIT_CODES)(warmup.command)
app.add_typer(study.app, name="study")
