"""Named ways to fit a data set: what a study compares is a model together with its protocol."""

from __future__ import annotations

from moestat.errors import InputError
from moestat.montecarlo.protocols.base import End, Protocol, Task
from moestat.montecarlo.protocols.mle import MLE
from moestat.montecarlo.protocols.published import Published
from moestat.montecarlo.reading import Table, at

#: Protocols by their kind in a study file; users add their own classes.
PROTOCOLS: dict[str, type[Protocol]] = {"mle": MLE, "published": Published}


def read_protocols(tables: list[Table]) -> tuple[Protocol, ...]:
    """The protocols of the tables ``[[protocol]]``; the kind is the name where it is not given."""
    found: list[Protocol] = []
    for table in tables:
        name = table.word("name")
        kind = table.choice("kind", list(PROTOCOLS)) if table.has("kind") else name
        if kind not in PROTOCOLS:
            raise InputError(
                f"{table.at('name')}: {name!r} is no kind of protocol; add kind = one of {list(PROTOCOLS)}."
            )
        fits = table.texts("fits") if table.has("fits") else None
        if fits == ():
            raise InputError(f"{table.at('fits')} names no model; leave it out for all of them.")
        with at(table.path):
            found.append(PROTOCOLS[kind].read(table, name, fits))
        table.done()
    return tuple(found)


__all__ = ["MLE", "PROTOCOLS", "End", "Protocol", "Published", "Task", "read_protocols"]
