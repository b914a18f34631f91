"""The ``moestat`` command."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Statistical theory and simulation for mixture-of-experts gating.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _main() -> None:
    """Statistical theory and simulation for mixture-of-experts gating."""


@app.command()
def demo(out: str = typer.Option("moestat-demo", help="Folder for the two figures.")) -> None:
    """Fit two mixtures of experts to real data, print the verdicts, save two figures."""
    from moestat.cli.demo import run

    run(out, typer.echo)
