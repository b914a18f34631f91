"""The entries of the theory as a table for people, one row per theorem."""

from __future__ import annotations

from moestat.theory.predict import with_log
from moestat.theory.rates import rate_of
from moestat.theory.theorems import ENTRIES, Entry

#: Cell size of which the table gives numbers.
CELL = 2

HEADER = ("gate", "expert", "experts", "case", "loss", "parameters", "status", "theorem", "source")


def rates_table() -> str:
    """All entries as a Markdown table; rates of over-specified parameters for two fitted atoms that share a true one.

    Returns
    -------
    str
    """
    rows = [HEADER, tuple("---" for _ in HEADER), *(_row(entry) for entry in ENTRIES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(entry: Entry) -> tuple[str, ...]:
    case = [entry.regime, "least squares" * (entry.objective == "least_squares"), "sharp" * (entry.variant == "sharp")]
    return (
        entry.gate.text,
        entry.expert.text,
        "as in truth" if entry.specification == "exact" else "more",
        ", ".join(filter(None, case)),
        _code(with_log(entry.loss)),
        _parameters(entry),
        entry.status.value,
        entry.theorem,
        str(entry.source),
    )


def _parameters(entry: Entry) -> str:
    """Rates, parameters of one rate together."""
    m = CELL if entry.specification == "over" else 1
    rates = {name: rate_of(power, m) for name, power in entry.powers.items()} | dict(entry.rates)
    together: dict[str, list[str]] = {}
    for name, rate in rates.items():
        together.setdefault(str(rate), []).append(name)
    return "; ".join(f"{', '.join(names)}: {_code(rate)}" for rate, names in together.items())


def _code(text: str) -> str:
    return f"`{text}`" if "n^" in text or "/" in text else text
