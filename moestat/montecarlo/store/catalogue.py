"""The texts of a store: versions of the study, cells, and versions of the programs that filled it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from moestat.montecarlo.rows import Cell
from moestat.montecarlo.store.records import BrokenSealError, Text

STUDY, CELL, VERSIONS = "study", "cell", "versions"


@dataclass(frozen=True)
class Study:
    """A version of the study's text, and when it was first used (seconds since 1970)."""

    text: str
    time: float


def canonical(value: object) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def cell_body(cell: Cell) -> str:
    """A cell as a text."""
    return canonical(
        {"n": cell.n, "fit": cell.fit, "protocol": cell.protocol, "text": cell.text, "columns": list(cell.columns)}
    )


def cell_of(body: str) -> Cell:
    """The cell of a text."""
    found = json.loads(body)
    return Cell(found["n"], found["fit"], found["protocol"], found["text"], tuple(found["columns"]))


def study_body(study: Study) -> str:
    """A version of the study as a text."""
    return canonical({"text": study.text, "time": study.time})


def study_of(body: str) -> Study:
    """The version of the study of a text."""
    found = json.loads(body)
    return Study(found["text"], found["time"])


def in_order(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Cells in the order in which results are read, summed up and exported."""
    return tuple(sorted(cells, key=lambda cell: (cell.fit, cell.protocol, cell.n, cell.digest)))


class Catalogue:
    """What the texts say.

    Parameters
    ----------
    texts : iterable of Text
        All of them, in the order of their numbers.

    Raises
    ------
    BrokenSealError
        When their numbers have gaps.

    Attributes
    ----------
    size : int
    cells : dict
        Cells by their number.
    numbers : dict
        Numbers of cells by their digest.
    studies : list of Study
    versions : dict
        Texts of versions by their number.
    """

    def __init__(self, texts: Iterable[Text]) -> None:
        self.size = 0
        self.cells: dict[int, Cell] = {}
        self.numbers: dict[str, int] = {}
        self.studies: list[Study] = []
        self.versions: dict[int, str] = {}
        for text in texts:
            self.add(text)

    def add(self, text: Text) -> None:
        """One more."""
        if text.id != self.size + 1:
            raise BrokenSealError(f"text {self.size + 1}: there is none")
        self.size = text.id
        match text.kind:
            case "cell":
                cell = cell_of(text.body)
                self.cells[text.id], self.numbers[cell.digest] = cell, text.id
            case "study":
                self.studies.append(study_of(text.body))
            case "versions":
                self.versions[text.id] = text.body
