"""Importing the package is cheap, and says which version it is."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import moestat

ROOT = Path(__file__).parents[2]
HEAVY = ("numba", "pandas", "scipy", "sklearn", "statsmodels", "matplotlib", "formulaic")


@pytest.fixture(scope="module")
def loaded_by_import():
    """Top-level modules that a fresh interpreter holds after importing moestat."""
    command = "import sys, moestat; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_the_fresh_interpreter_did_import_moestat(loaded_by_import):
    assert "moestat" in loaded_by_import


@pytest.mark.parametrize("library", HEAVY)
def test_importing_moestat_does_not_import(library, loaded_by_import):
    """Public names load on first use: `moestat --help` must not wait for a compiler."""
    assert library not in loaded_by_import


def test_a_fit_loads_only_what_it_computes_with():
    """Each of these takes a good part of a second, which the first fit of a process would wait for."""
    idle = ("scipy.stats", "scipy.optimize", "pandas", "sklearn", "statsmodels", "matplotlib", "formulaic")
    command = (
        "import sys, numpy as np, moestat as ms\n"
        "x = np.linspace(-1.0, 1.0, 50)\n"
        "ms.fit(ms.MixtureOfExperts(n_experts=1), x, np.sin(9.0 * x), n_starts=1)\n"
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(idle) & set(run.stdout.split())


def test_version_is_the_one_that_the_build_reads():
    """pyproject.toml takes the version from a file; that file's literal is `moestat.__version__`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    source = (ROOT / project["tool"]["hatch"]["version"]["path"]).read_text()
    (literal,) = re.findall(r'^__version__ = "([^"]+)"$', source, flags=re.MULTILINE)
    assert literal == moestat.__version__


def test_citation_names_the_same_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", citation, flags=re.MULTILINE).group(1) == moestat.__version__
