"""``moestat study new``: a study file that explains itself."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from moestat.cli.options import Overwrite, Quiet
from moestat.cli.study.places import STUDY, as_typed, with_ending
from moestat.cli.study.voice import speaking
from moestat.cli.voice import tell
from moestat.errors import InputError

#: A name in a study file is cut beyond this.
LONGEST = 60


def command(
    path: Annotated[Path, typer.Argument(metavar="[STUDY]", help="The file to write.")] = Path("study.toml"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a study file to begin with: every key explained, and other laws, fits and protocols beside.

    moestat study new rates.toml

    It can be run as it stands, in about ten seconds, and a minute more in a new installation, which compiles kernels.
    """
    with speaking(quiet):
        from moestat.cli.tables import check_free

        file = with_ending(path)
        if file.suffix != STUDY:
            raise InputError(f"STUDY must end in {STUDY}; got {str(path)!r}.")
        check_free(file, overwrite, "STUDY")
        file.write_text(skeleton(file.stem), encoding="utf-8")
        if not quiet:
            tell(f"Written: {file}. Change it to your study, then: {as_typed('run', file)}")


def skeleton(name: str) -> str:
    """The text of a study file for a study of this name, less signs that a name cannot have."""
    text = files("moestat.montecarlo").joinpath("skeleton.toml").read_text(encoding="utf-8")
    fitting = re.sub(r"[^\w.+=-]", "_", name)[:LONGEST]
    return text.replace('"NAME" ', f'"{fitting}" ').replace("STUDY.toml", f"{name}{STUDY}")
