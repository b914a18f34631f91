"""What is generated on the page ``docs/theory.md``: its table, what its examples print, and the picture of a ridge.

Run with ``python -m simulations.theory_page``: it writes them anew and draws ``docs/images/ridge.png``, two parameter
vectors with one density.
"""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import moestat as ms
from moestat.model import MixtureOfExperts, MoEParams
from moestat.plotting import style
from moestat.plotting.looks import DASHES
from moestat.typing import FloatArray

PAGE = Path(__file__).parents[1] / "docs" / "theory.md"
BEGIN, END = "<!-- table of theorems: begin -->", "<!-- table of theorems: end -->"

#: By how much the gate slopes of every pair part, and where the response's density is looked at.
PART, AT = 1.5, 0.4

#: The wide line lies under the dotted one.
LINES: dict[str, dict[str, Any]] = {
    "A": {"ls": "-", "lw": 4.0, "color": "0.6"},
    "B": {"ls": ":", "lw": 1.5, "color": "black"},
}

EXPERTS = {"intercepts": [0.0, 1.0], "slopes": [[1.5], [-1.5]], "variances": [0.15, 0.3]}
SLOPES = np.array([2.0, 0.0])


#: A block of Python, and the block of text after it, which holds what it prints.
EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n.*?```", re.DOTALL)


def page(text: str) -> str:
    """The page with the table that the entries make now, and with what its examples print now."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    namespace: dict[str, object] = {}
    return EXAMPLE.sub(
        lambda found: f"```python\n{found['code']}```\n\n```text\n{_printed(found['code'], namespace)}```",
        f"{before}{BEGIN}\n\n{ms.theory.rates_table()}\n\n{END}{after}",
    )


def _printed(code: str, namespace: dict[str, object]) -> str:
    with redirect_stdout(io.StringIO()) as out:
        exec(compile(code, str(PAGE), "exec"), namespace)
    return out.getvalue()


def two_vectors() -> tuple[MixtureOfExperts, MoEParams, MoEParams]:
    """Four experts for two: each true atom twice, and each pair with its slopes parted by one number."""
    model = ms.MixtureOfExperts(gate="softmax", expert="gaussian", n_experts=4)
    expert = {name: np.concatenate([values, values]) for name, values in EXPERTS.items()}
    together, parted = (
        model.params(
            gate={"intercepts": [0.0, 0.3, 0.0, 0.3], "slopes": np.concatenate([SLOPES + d, SLOPES - d])[:, None]},
            expert=expert,
        )
        for d in (0.0, PART)
    )
    return model, together, parted


def difference(x: FloatArray, y: FloatArray) -> float:
    """Largest difference of the two densities on a grid."""
    model, one, two = two_vectors()
    X, Y = (grid.ravel() for grid in np.meshgrid(x, y))
    densities = [np.exp(model.log_density(params, X[:, None], Y)) for params in (one, two)]
    return float(np.abs(densities[0] - densities[1]).max())


def draw() -> None:
    """Weights of the four experts at both vectors, and the one density."""
    model, *vectors = two_vectors()
    x, y = np.linspace(-2, 2, 201), np.linspace(-2.5, 3.5, 301)
    with style():
        figure, (*panels, last) = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
        for ax, params, name in zip(panels, vectors, "AB", strict=True):
            weights = model.gate_weights(params, x[:, None])
            for k, dash in enumerate(DASHES[: model.n_experts]):
                ax.plot(x, weights[:, k], linestyle=dash, label=f"expert {k + 1}")
            ax.set(xlabel="x", ylabel="gate weight", ylim=(0, 1), title=f"parameters {name}")
        panels[0].legend()
        for params, name in zip(vectors, LINES, strict=True):
            density = np.exp(model.log_density(params, np.full((y.size, 1), AT), y))
            last.plot(y, density, label=name, **LINES[name])
        last.set(xlabel="y", ylabel=f"p(y | x = {AT})", title=f"one density, to {difference(x, y):.0e}")
        last.legend()
        figure.savefig(PAGE.parent / "images" / "ridge.png", dpi=100)
        plt.close(figure)


def main() -> None:
    """Write and draw."""
    PAGE.write_text(page(PAGE.read_text()))
    draw()


if __name__ == "__main__":
    main()
