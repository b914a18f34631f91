"""Where a study and its results are: a study file with its store beside it, or a store that has the study's text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated

import typer

from moestat.errors import InputError

if TYPE_CHECKING:
    from moestat.montecarlo import Shard, Study

#: Endings of a study file and of a store.
STUDY, STORE = ".toml", ".db"

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, STUDY.toml.", show_default=False)]
StoreFile = Annotated[Path, typer.Argument(metavar="STORE", help="A store, the .db file of a run.", show_default=False)]
StudyOrStore = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY|STORE",
        help="A study file, which stands for the store beside it; or a store.",
        show_default=False,
    ),
]


def with_ending(path: Path) -> Path:
    """A study file may be named without its ending, as `moestat study new` is told it."""
    return path if path.suffix or path.exists() else path.with_suffix(STUDY)


def read_study(path: Path) -> Study:
    """The study of a study file."""
    from moestat.montecarlo import Study

    path = with_ending(path)
    if path.suffix != STUDY:
        raise InputError(
            f"STUDY must be a study file that ends in {STUDY}; got {str(path)!r}. A store is named by --store."
        )
    return Study.from_toml(path)


def store_of(path: Path, shard: Shard | None = None) -> Path:
    """The store beside a study file, or that of one of its shards."""
    if shard is None:
        return path.with_suffix(STORE)
    width = max(2, len(str(shard.count)))
    return path.with_name(f"{path.stem}.shard-{shard.index:0{width}}-of-{shard.count:0{width}}{STORE}")


def shard_of(store: Path) -> Shard | None:
    """The part of a study that a store holds, by its name."""
    from moestat.montecarlo.engine import Shard

    found = re.search(r"\.shard-([0-9]{2,9})-of-([0-9]{2,9})$", store.stem)
    return None if found is None else Shard(int(found[1]), int(found[2]))


def all_shards(store: Path) -> Path:
    """A pattern for all shards of the study that a shard's store belongs to."""
    return store.with_name(re.sub(r"\.shard-[0-9]+-of-", ".shard-*-of-", store.name))


def shards_beside(store: Path) -> list[Path]:
    """Stores of the shards that belong to a store."""
    return sorted(store.parent.glob(f"{store.stem}.shard-*-of-*{STORE}"))


@dataclass(frozen=True)
class Place:
    """A store, and the study file beside it where that was named.

    Parameters
    ----------
    store : Path
    file : Path or None
    """

    store: Path
    file: Path | None = None

    @staticmethod
    def of(path: Path) -> Place:
        """What an argument STUDY|STORE stands for; its store exists."""
        path = with_ending(path)
        if path.suffix != STUDY:
            return Place(path)
        found = Place(store_of(path), path)
        if found.store.exists():
            return found
        if path.is_file():
            raise InputError(f"{path} has no store {str(found.store)!r} yet. {_way_to(found)}")
        raise InputError(f"there is no study file {str(path)!r}, and no store {found.store.name!r} beside it.")

    def study(self) -> Study:
        """The study of the file; else the one that the store was filled by.

        Raises
        ------
        InputError
            When the store was filled by a study that was made in Python, which no text can bring back.
        """
        if self.file is not None:
            return read_study(self.file)
        from moestat.montecarlo import Store, Study
        from moestat.montecarlo.reading import at

        with Store.open(self.store, read_only=True) as store:
            text = store.study
        if made_in_python(text):
            raise InputError(
                f"{str(self.store)!r} was filled by a study that was made in Python, which only Python can bring back: "
                "call the function of the same name in moestat.montecarlo with that study."
            )
        if not text:
            raise InputError(f"the text of the study in {str(self.store)!r} is lost. Name the study file instead.")
        with at(str(self.store)):
            return Study.from_text(text)


def made_in_python(text: str) -> bool:
    """Whether a study's text is no study file: a list of cells is left of it."""
    return text.startswith("{")


def as_typed(*words: object) -> str:
    """A command as the shell takes it."""
    return join(["moestat", "study", *map(str, words)])


def _way_to(place: Place) -> str:
    shards = shards_beside(place.store)
    if shards:
        return f"Join its shards: {as_typed('merge', place.store, *shards)}"
    return f"Make one: {as_typed('run', place.file)}"
