"""The examples that a reader meets first are run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[2]


PAGES = ["README.md", "docs/quickstart.md", "docs/solver.md", "docs/formula.md", "docs/sklearn.md", "docs/pictures.md"]


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
