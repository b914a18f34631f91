"""The examples that a reader meets first are run as they are printed."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from typer.testing import CliRunner

from moestat.cli import app
from moestat.experts import EXPERTS
from moestat.expressions import parse
from moestat.gates import GATES

ROOT = Path(__file__).parents[2]


PAGES = [
    "README.md",
    "docs/quickstart.md",
    "docs/solver.md",
    "docs/threads.md",
    "docs/formula.md",
    "docs/sklearn.md",
    "docs/datasets.md",
    "docs/pictures.md",
    "docs/gates.md",
    "docs/experts.md",
    "docs/least_squares.md",
    "docs/papers.md",
    "docs/theory_losses.md",
    "docs/extending/add_a_gate.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_run(page, capsys):
    """All Python blocks of a page, one after the other in one namespace."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {"__name__": "__main__"}  # as a script has: Numba asks for the module's name
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
    plt.close("all")
    assert "Verdict: a strict" in capsys.readouterr().out


def test_the_examples_of_studies_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they write a store and a report
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/studies.md").read_text(), re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "docs/studies.md", "exec"), namespace)
    mc, study, own = namespace["mc"], namespace["study"], namespace["FromTheTruth"]
    mc.PROTOCOLS.pop("from_the_truth")
    both = replace(study, protocols=[*study.protocols, own()], text="")
    logliks = mc.run(both, "both.db").rows().groupby(["protocol", "n", "replication"]).loglik.first().unstack(0)
    assert (logliks["mle"] >= logliks["from_the_truth"] - 1e-8).all()
    assert (tmp_path / "two_experts.html").exists()


@pytest.mark.parametrize(("page", "registry"), [("docs/gates.md", GATES), ("docs/experts.md", EXPERTS)])
def test_pages_list_all_names(page, registry):
    """Every name is there, and every first cell of a row that looks like one is read as it is written."""
    listed = re.findall(r"^\| `([^`]+)` \|", (ROOT / page).read_text(), re.MULTILINE)
    assert {name.partition("(")[0] for name in listed} == set(registry)
    for name in listed:
        if "..." not in name:
            assert parse(name, "component", registry).name == name.partition("(")[0]


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
