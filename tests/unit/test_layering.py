"""Imports go down only: what the layers of the package may know of each other."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path

import pytest

from moestat.experts import EXPERTS
from moestat.gates import GATES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "moestat"

#: Layers from bottom to top. Siblings may import each other as long as that makes no circle.
LAYERS = (
    ("typing", "errors", "spelling", "syntax"),
    ("params", "kernels", "directions", "charts", "storage", "progress", "threads"),
    ("validate", "coordinates", "law", "distinct", "columns", "activations", "cholesky", "buffers", "totals"),
    ("data",),
    ("component", "gate_information", "normal", "query", "sketch", "design", "frames"),
    ("gates", "experts"),
    ("terms", "expressions"),
    ("sums",),
    ("passes",),
    ("model", "squares"),
    ("description", "bounds", "regression"),
    ("solvers", "theory"),
    ("starts", "representative", "predictor_form", "screening"),
    ("certificate", "inference", "plotting", "results", "squares_results", "search"),
    ("objectives",),
    ("fitting", "loading"),
    ("prepared",),
    ("warming",),
    ("datasets", "estimators", "formula", "montecarlo", "cli"),
    ("__main__",),
)
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}

#: Units that may import these of ours and nothing else.
ONLY = {
    "kernels": {"typing"},
    "theory": {
        *("model", "params", "kernels", "data", "gates", "experts", "passes", "typing", "errors"),
        *("activations", "component", "coordinates", "directions", "expressions", "terms"),
    },
}
#: Units that do not know each other, though they are siblings.
STRANGERS = {("gates", "experts"), ("experts", "gates"), ("params", "kernels")}
#: Libraries that one unit alone imports.
PRIVATE_LIBRARIES = {"numba": "kernels", "llvmlite": "kernels", "formulaic": "frames"}
#: Third-party libraries a unit is confined to.
LIBRARIES = {"kernels": {"numba", "llvmlite", "numpy", "platformdirs"}}
#: Folders beside the package; they read it, and it does not know them.
OUTSIDE = {"simulations", "paper_figures", "tests"}

FILES = sorted(PACKAGE.rglob("*.py"))


def unit_of(path):
    """The module or subpackage directly under moestat that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


class _Imports(ast.NodeVisitor):
    """Collects dotted names; ``from moestat import x`` counts as ``moestat.x``."""

    def __init__(self, package, annotations):
        self.names, self._package, self._annotations = [], package.split("."), annotations

    def visit_If(self, node):
        if self._annotations or not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node):
        self.names += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node):
        above = self._package[: len(self._package) - node.level + 1] if node.level else []
        base = ".".join([*above, *filter(None, [node.module])])
        self.names += [f"{base}.{alias.name}" for alias in node.names] if base == "moestat" else [base]


def imported(source, package, annotations=True):
    """Dotted names that a file imports anywhere in its text; ``package`` resolves relative ones.

    ``annotations=False`` leaves out what is imported for type checkers only.
    """
    imports = _Imports(package, annotations)
    imports.visit(ast.parse(source))
    return imports.names


def units_of(names):
    """Our own units among imported names; the version is a constant that every layer may read."""
    ours = [name.split(".") for name in names if name.split(".")[0] == "moestat"]
    return {parts[1] if len(parts) > 1 else "__init__" for parts in ours if parts[1:] != ["__version__"]}


def offences(unit, names):
    """What is wrong with a unit that imports these dotted names, in words."""
    if unit != "__init__" and unit not in LEVEL:
        return [f"moestat/{unit} is in no layer: add it to LAYERS in tests/unit/test_layering.py"]
    found = []
    libraries = {name.split(".")[0] for name in names}
    for library in sorted(libraries & PRIVATE_LIBRARIES.keys()):
        if PRIVATE_LIBRARIES[library] != unit:
            found.append(f"only moestat/{PRIVATE_LIBRARIES[library]} imports {library}")
    found += [f"nothing in moestat imports {folder}" for folder in sorted(libraries & OUTSIDE)]
    if unit in LIBRARIES:
        foreign = libraries - sys.stdlib_module_names - LIBRARIES[unit] - {"moestat"}
        found += [f"moestat/{unit} does not import {library}" for library in sorted(foreign)]
    if unit == "__init__":
        return found
    for other in sorted(units_of(names) - {unit}):
        if other != "__init__" and other not in LEVEL:
            found.append(f"moestat.{other} is in no layer: add it to LAYERS in tests/unit/test_layering.py")
        elif unit in ONLY and other not in ONLY[unit]:
            found.append(f"{unit} imports {other}; it may import only {sorted(ONLY[unit])}")
        elif other == "__init__" or LEVEL[other] > LEVEL[unit]:
            found.append(f"{unit} imports {other}, which is above it")
        elif (unit, other) in STRANGERS:
            found.append(f"{unit} imports {other}; the two do not know each other")
    return found


def _names_in(path, annotations=True):
    return imported(path.read_text(), ".".join(path.relative_to(ROOT).parent.parts), annotations)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path):
    assert offences(unit_of(path), _names_in(path)) == []


def circle(uses):
    """Some units that import each other in a circle, if there are any."""
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_siblings_import_each_other_in_one_direction():
    """Apart from annotations, which nothing runs."""
    uses = {}
    for path in FILES:
        unit = unit_of(path)
        uses.setdefault(unit, set()).update(units_of(_names_in(path, annotations=False)) - {unit})
    assert circle(uses) == []


def test_the_check_sees_a_circle():
    assert set(circle({"results": {"inference"}, "inference": {"results"}})) == {"results", "inference"}


@pytest.mark.parametrize(("annotations", "names"), [(True, ["typing", "moestat.results"]), (False, ["typing"])])
def test_the_check_tells_annotations_apart(annotations, names):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from moestat.results import Results"
    assert imported(source, "moestat.inference", annotations) == names


@pytest.mark.parametrize(
    ("unit", "source", "fault"),
    [
        ("data", "from moestat.passes import Passes", "data imports passes, which is above it"),
        ("data", "from moestat import passes", "data imports passes, which is above it"),
        ("data", "import moestat.passes as p", "data imports passes, which is above it"),
        ("data", "from .passes import Passes", "data imports passes, which is above it"),
        ("data", "def f():\n    from moestat.passes import Passes", "data imports passes, which is above it"),
        ("data", "import moestat as ms", "data imports __init__, which is above it"),
        ("kernels", "from moestat.errors import InputError", "kernels imports errors; it may import only"),
        ("kernels", "import scipy.special", "moestat/kernels does not import scipy"),
        ("theory", "from moestat.solvers import solve", "theory imports solvers; it may import only"),
        ("theory", "from moestat.validate import as_matrix", "theory imports validate; it may import only"),
        (
            "gates",
            "from moestat.experts.gaussian import Gaussian",
            "gates imports experts; the two do not know",
        ),
        ("gates", "from numba import njit", "only moestat/kernels imports numba"),
        ("cli", "import paper_figures.catalogue", "nothing in moestat imports paper_figures"),
        ("somewhere", "", "moestat/somewhere is in no layer: add it to LAYERS"),
        ("cli", "from moestat.somewhere import x", "moestat.somewhere is in no layer: add it to LAYERS"),
    ],
)
def test_the_check_sees(unit, source, fault):
    """Each rule, broken once."""
    (found,) = offences(unit, imported(source, "moestat"))
    assert fault in found


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("passes", "import numpy as np\nfrom moestat.data import Block\nfrom moestat.kernels import rows"),
        ("kernels", "import numba\nfrom math import sqrt\nfrom moestat.kernels.linear import row_dots"),
        ("gates", "from .softmax import Softmax"),
        ("results", "from moestat import __version__"),
    ],
)
def test_the_check_allows(unit, source):
    assert offences(unit, imported(source, f"moestat.{unit}")) == []


def test_no_module_is_a_drawer_for_the_rest():
    assert [path for path in FILES if "utils" in path.relative_to(PACKAGE).with_suffix("").parts] == []


def is_pair(stem):
    """Whether a file name joins the name of a gate with that of an expert, in either order."""
    joined = stem.replace("_", "").replace("-", "")
    names = [(gate.replace("_", ""), expert.replace("_", "")) for gate, expert in product(GATES, EXPERTS)]
    return any(gate + expert in joined or expert + gate in joined for gate, expert in names)


@pytest.mark.parametrize(
    "stem", ["softmax_gaussian", "gaussian_softmax", "test_softmax_multinomial", "softmaxgaussian"]
)
def test_the_check_sees_a_pair_in(stem):
    assert is_pair(stem)


def test_no_file_is_named_after_a_pair_of_gate_and_expert():
    """Likelihood, scores and standard errors are written once, for all pairs."""
    files = [*FILES, *(ROOT / "tests").rglob("*.py")]
    assert [path for path in files if is_pair(path.stem)] == []
