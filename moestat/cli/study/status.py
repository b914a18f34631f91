"""``moestat study status``: how far a study has come, and how its fits ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from moestat.cli.options import of_output
from moestat.cli.study.places import Place, StudyOrStore, as_typed, shard_of
from moestat.cli.study.voice import speaking

if TYPE_CHECKING:
    from moestat.cli.study.standing import Count, Standing

HEAD = ("fit", "protocol", "n", "done", "ok", "error", "crashed", "trusted")

#: The leading columns of words; the others are numbers.
WORDS = 2


def command(
    path: StudyOrStore,
    digest: Annotated[bool, of_output("Add the digest of the results; all rows are read for it.", "--digest")] = False,
    as_json: Annotated[bool, of_output("Print JSON instead of the table.", "--json")] = False,
) -> None:
    """Show how far a study has come: rows done and planned, failures, and ends that can be trusted.

    moestat study status rates.toml

    It only counts, so it is quick, and it may be asked while a run is writing.
    """
    with speaking():
        from moestat.cli.study.standing import as_document, standing

        place = Place.of(path)
        found = standing(place, digest)
        if as_json:
            typer.echo(json.dumps(as_document(found), indent=2, allow_nan=False, ensure_ascii=False))
        else:
            typer.echo("\n".join(_lines(found, place)))


def _lines(found: Standing, place: Place) -> Iterator[str]:
    when = datetime.fromtimestamp(found.written).isoformat(" ", "seconds")
    yield f"Study {found.name}, in {found.store}, last written {when}"
    yield ""
    rows = [(cell.fit, cell.protocol, str(cell.n), *_entries(count)) for cell, count in found.cells]
    yield from _aligned([HEAD, *rows, ("total", "", "", *_entries(found.total))])
    yield ""
    for text, n in found.versions.items():
        yield f"{n:,} rows computed with {', '.join(f'{key} {value}' for key, value in json.loads(text).items())}"
    yield from _unknown(found)
    if found.digest:
        yield f"Digest of the results: {found.digest}"
    yield _next(found, place)


def _unknown(found: Standing) -> Iterator[str]:
    """About cells that the study does not have: taken out of it, or changed in it."""
    own = {cell.label for cell, _ in found.cells if cell not in found.unknown}
    changed = sum(cell.label in own for cell in found.unknown)
    if changed:
        yield (
            f"{changed} cells of the store are others in the study now: a run will list the differences, and refuse. "
            "Undo the change, or name a new store by --store."
        )
    if len(found.unknown) > changed:
        yield f"{len(found.unknown) - changed} cells of the store are not in the study any more; they stay as they are."


def _entries(count: Count) -> tuple[str, ...]:
    done = f"{count.done:,}" if count.planned is None else f"{count.done:,}/{count.planned:,}"
    return (done, *(f"{n:,}" for n in (count.ok, count.error, count.crashed, count.trusted)))


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.ljust(width) if i < WORDS else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _next(found: Standing, place: Place) -> str:
    """What is missing, and the command that goes on."""
    if not found.missing:
        return found.left
    study, shard = place.file or "STUDY.toml", shard_of(place.store)
    where = ("--store", place.store) if place.file is None else ()
    part = ("--shard", f"{shard.index}/{shard.count}") if shard is not None else ()
    return f"{found.left} To go on: {as_typed('run', study, *where, *part)}"
