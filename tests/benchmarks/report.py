"""All measurements as a table: ``python -m tests.benchmarks.report [KEY ...] [--quick] [--write FOLDER]``.

Without keys every measurement of `tests.benchmarks.measures` is run. ``--write`` puts the table, a picture and the
numbers into a folder, docs/benchmarks in this repository; measurements that were not run keep what the folder has of
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from moestat.threads import limit
from tests.benchmarks import machine, page
from tests.benchmarks.measure import Measure, NotMeasured
from tests.benchmarks.measures import MEASURES


def measured(measure: Measure, quick: bool) -> dict[str, Any]:
    """Everything that is known of a measurement, as JSON takes it: what it has found, and why there is not more."""
    began, load, found, missing = perf_counter(), machine.load(), [], ""
    try:
        for case in measure.run(quick):
            reached = None if measure.bound is None else measure.bound.met(case.value)
            found.append({"case": case.case, "value": case.value, "reached": reached, "note": case.note})
    except NotMeasured as reason:
        missing = str(reason)
    return {
        "key": measure.key,
        "name": measure.name,
        "unit": measure.unit,
        "figure": "" if measure.bound is None else str(measure.bound),
        "found": found,
        "missing": missing,
        "seconds": round(perf_counter() - began, 1),
        "load": round(load, 2),
        "machine": machine.description(),
    }


def collect(measures: Sequence[Measure], quick: bool) -> list[dict[str, Any]]:
    """Run measurements one after the other, and print what each has found."""
    results = []
    for measure in measures:
        results.append(measured(measure, quick))
        print(f"\n{page.as_text(results[-1])}", flush=True)
    return results


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    keys = [measure.key for measure in MEASURES]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.report", description="Measure how fast moestat is."
    )
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"measurements to run, of {', '.join(keys)}")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases, in three minutes")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write table, picture and numbers there")
    asked = parser.parse_args(words)
    unknown = sorted(set(asked.keys) - set(keys))
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}; there are {', '.join(keys)}")
    if asked.quick and asked.write:
        parser.error("--write takes full measurements: leave --quick out")
    print("; ".join(f"{name} {value}" for name, value in machine.description().items()), f"; load {machine.load():.1f}")
    with limit(1):  # as the other programs; measurements of threads set their own
        results = collect([m for m in MEASURES if not asked.keys or m.key in asked.keys], asked.quick)
    missed = [f"{r['name']}, {f['case']}" for r in results for f in r["found"] if f["reached"] is False]
    print(f"\nFigures that were not reached: {'; '.join(missed) or 'none'}.")
    if asked.write:
        page.write(asked.write, [result for result in results if result["found"]], keys)
        print(f"Written to {asked.write}.")


if __name__ == "__main__":
    main(sys.argv[1:])
