"""The examples that a reader meets first are run as they are printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from typer.testing import CliRunner

from moestat.cli import app

ROOT = Path(__file__).parents[2]


PAGES = [
    "README.md",
    "docs/quickstart.md",
    "docs/solver.md",
    "docs/formula.md",
    "docs/sklearn.md",
    "docs/datasets.md",
    "docs/pictures.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_run(page, capsys):
    """All Python blocks of a page, one after the other in one namespace."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
    plt.close("all")
    assert "Verdict: a strict" in capsys.readouterr().out


def test_commands_run(tmp_path, monkeypatch):
    """All commands of the page, one after the other in one empty folder."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs/command_line.md").read_text(), re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(commands) > 5
    for command in commands:
        name, *words = shlex.split(command)
        assert name == "moestat"
        assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0, command
