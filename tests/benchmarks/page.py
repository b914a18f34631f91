"""The page of the documentation: a table of what was measured, the numbers, and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import picture

Result = dict[str, Any]

INTRODUCTION = """# Benchmarks

How fast moestat is, beside other programs and beside what the machine allows. Ratios are taken in one run, the programs
taking turns, or each at its best of several rounds. Whole fits begin at the same start, from the same rows, and end at
the same maximum, which is checked; how far a program that stops by its own tolerance stays below is said. Ours includes
everything that `ms.fit` does, the certificate too. All run in one thread unless a row says otherwise.

`make bench` prints the same table for your machine, with the programs that are present there: NumPy and scikit-learn
always are, R with flexmix and mixtools where it is installed. `make bench QUICK=1` takes three minutes. This page is
written by `python -m tests.benchmarks.report --write docs/benchmarks`; the numbers are in `results.json` beside it.
"""

LIMITS = """## What stands in the way

- *The roofline* counts what a pass cannot do without, exponentials and multiply-adds, and nothing else. With maxima,
  differences, sums and one division per row counted, passes by small models come to two fifths to a half of it. The
  rest are numbers that go through the cache between gate, experts and sums, which are compiled apart so that any gate
  meets any expert, and calls, some ten microseconds for every tile of rows.
- *Beside NumPy* the pass gains most where NumPy moves temporaries through memory. From five covariates on, NumPy's own
  matrix products, compiled code as well, do a growing share of the work.
- *Many fits* of 10,000 rows and more spend their time in passes over all rows, five or six gradients and a Hessian:
  what the passes are short of the roofline, these fits are.
- *Two threads* are measured beside two bare loops of compiled code on the same machine. Between two calls of compiled
  code a thread holds the interpreter, about eight microseconds for every tile.
- *R's flexmix* ends by its own tolerance, up to half a unit of log-likelihood below the maximum; ours ends at a
  gradient of zero, with a certificate.
- *A profile* of many fits at once shows compiled code and next to nothing else. `ms.fit` from one start has fixed costs
  beside it, checks of the data, the sketch for the starts, the certificate's words, which fade with rows and starts.
"""

PICTURE = "![Times of other programs over that of moestat, on a logarithmic axis](peers.png)"


def as_text(result: Result) -> str:
    """A measurement for the terminal."""
    figure = f", figure {result['figure']}" if result["figure"] else ""
    lines = [f"{result['name']} [{result['unit']}{figure}]"]
    for found in result["found"]:
        mark = {True: "reached", False: "MISSED", None: ""}[found["reached"]]
        lines.append(f"    {found['case']:44s} {number(found['value']):>8s}  {mark:8s} {found['note']}".rstrip())
    return "\n".join([*lines, *([f"    not measured: {result['missing']}"] if result["missing"] else [])])


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def merged(old: Sequence[Result], new: Sequence[Result], keys: Sequence[str]) -> list[Result]:
    """New results in the place of old ones, in the order of the keys; keys that are gone are dropped."""
    by_key = {result["key"]: result for result in [*old, *new]}
    return [by_key[key] for key in keys if key in by_key]


def machines(results: Sequence[Result]) -> list[dict[str, str]]:
    """The machines and days of the results, each once."""
    found: list[dict[str, str]] = []
    for result in results:
        if result["machine"] not in found:
            found.append(result["machine"])
    return found


def table(results: Sequence[Result]) -> str:
    """All cases in a Markdown table."""
    where = machines(results)
    rows = ["| measure | case | value | figure | reached | note | machine |", "|---|---|---|---|---|---|---|"]
    for result in results:
        for i, found in enumerate(result["found"]):
            name = f"{result['name']} (`{result['key']}`)" if i == 0 else ""
            reached = {True: "yes", False: "**no**", None: ""}[found["reached"]]
            value = f"{number(found['value'])} {result['unit']}"
            place = chr(ord("A") + where.index(result["machine"]))
            cells = (name, found["case"], value, result["figure"], reached, found["note"], place)
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def page(results: Sequence[Result]) -> str:
    """The whole page."""
    listed = [f"- {chr(ord('A') + i)}: {_told(at, results)}" for i, at in enumerate(machines(results))]
    command = "One measurement alone is run by its name in brackets: `python -m tests.benchmarks.report em-numpy`."
    parts = (INTRODUCTION, PICTURE, "## The table", command, table(results), LIMITS, "## Machines", "\n".join(listed))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _told(at: dict[str, str], results: Sequence[Result]) -> str:
    loads = sorted(result["load"] for result in results if result["machine"] == at)
    facts = "; ".join(f"{name} {value}" for name, value in at.items())
    return f"{facts}; load when a measurement began {loads[0]:.1f} to {loads[-1]:.1f}"


def write(folder: Path, results: Sequence[Result], keys: Sequence[str]) -> None:
    """Put page, picture and numbers into a folder, beside results of earlier runs that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = folder / "results.json"
    old = json.loads(numbers.read_text()) if numbers.exists() else []
    every = merged(old, results, keys)
    numbers.write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n")
    (folder / "index.md").write_text(page(every))
    picture.draw(every, folder / "peers.png")
