"""``moestat study merge``: shards of a study, made one store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moestat.cli.options import of_run
from moestat.cli.study.places import STUDY, Place, store_of, with_ending
from moestat.cli.study.voice import speaking

Target = Annotated[
    Path,
    typer.Argument(
        metavar="TARGET", help="A store, made where there is none; a study file stands for it.", show_default=False
    ),
]
Shards = Annotated[list[Path], typer.Argument(metavar="SHARD...", help="Stores to be added.", show_default=False)]
Strict = Annotated[bool, of_run("Refuse stores that were filled by different versions.", "--strict")]


def command(target: Target, shards: Shards, strict: Strict = False) -> None:
    """Add everything that other stores hold to one.

    moestat study merge rates.toml rates.shard-*.db

    The others are only read. Stores that contradict each other are refused, and nothing is written then.
    """
    with speaking(interrupted="Nothing was added."):
        from moestat.cli.study.standing import standing
        from moestat.montecarlo import merge

        path = with_ending(target)
        store = store_of(path) if path.suffix == STUDY else path
        merged = merge(store, shards, strict=strict)
        typer.echo(f"{merged.added:,} rows added to {store}, {merged.repeated:,} were there already.")
        typer.echo(standing(Place(store)).left)
