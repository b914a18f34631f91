"""The command as a whole: help, version, errors of usage, speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import moestat
from moestat.cli import app

ROOT = Path(__file__).parents[3]
COMMANDS = ("fit", "predict", "datasets", "demo", "warmup", "study")
STUDY_COMMANDS = ("new", "run", "status", "export", "verify", "repair", "merge", "replay")


def test_without_a_command_help_is_shown():
    assert "demo" in CliRunner().invoke(app, []).output


def test_an_unknown_command_is_an_error():
    result = CliRunner().invoke(app, ["demoo"])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_python_m_moestat_is_the_command():
    run = subprocess.run(
        [sys.executable, "-m", "moestat", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "demo" in run.stdout
    assert not run.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert command in result.output


@pytest.mark.parametrize("command", STUDY_COMMANDS)
def test_every_command_on_studies_has_help(command):
    result = CliRunner().invoke(app, ["study", command, "--help"])
    assert result.exit_code == 0
    assert f"moestat study {command}" in result.output


def test_the_help_of_a_run_states_its_exit_codes():
    text = " ".join(CliRunner().invoke(app, ["study", "run", "--help"]).output.split())
    assert all(f"{code} " in text for code in (0, 1, 2, 3, 69, 74, 75, 130))
    assert "finished replications are in the store" in text


@pytest.mark.parametrize("command", ["fit", "predict", "warmup"])
def test_the_help_states_the_exit_codes(command):
    text = " ".join(CliRunner().invoke(app, [command, "--help"]).output.split())
    assert all(f"{code} " in text for code in (0, 1, 2, 3, 130))
    assert "3 done, but the fit did not end at a maximum that can be trusted" in text


def test_the_version():
    assert CliRunner().invoke(app, ["--version"]).output == f"moestat {moestat.__version__}\n"


def test_help_loads_no_heavy_library():
    """Asking how a command is used must not take seconds."""
    heavy = ("numpy", "pandas", "matplotlib", "numba", "statsmodels", "scipy")
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom moestat.cli import app\n"
        "assert CliRunner().invoke(app, ['fit', '--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['study', 'run', '--help']).exit_code == 0\n"
        f"assert not set({heavy}) & set(sys.modules), sorted(set({heavy}) & set(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
