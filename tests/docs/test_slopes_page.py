"""The page on effective slopes: its examples print what stands there, and its tables are the committed ones."""

from __future__ import annotations

import re

from moestat.montecarlo.slopes import Ruling
from simulations.slopes.page import PAGE, page

EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def test_examples_print_what_stands_there(capsys):
    found = EXAMPLE.findall(PAGE.read_text())
    assert len(found) == PAGE.read_text().count("```python") > 0
    namespace: dict[str, object] = {"__name__": "__main__"}
    for code, printed in found:
        exec(compile(code, str(PAGE), "exec"), namespace)
        assert capsys.readouterr().out == printed


def test_tables_are_the_committed_ones():
    """After a change: ``python -m simulations.slopes.calibration``."""
    text = PAGE.read_text()
    assert page(text) == text


def test_every_verdict_has_its_rule():
    table = PAGE.read_text().split("## Verdicts")[1].split("## What a verdict is worth")[0]
    listed = re.findall(r"^\| ([^|]+) \| ", table, re.MULTILINE)
    assert {name for cell in listed for name in cell.split(", ")} >= {one.value for one in Ruling}
