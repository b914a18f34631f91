"""Studies that take seconds, and what is asked of their stores."""

from __future__ import annotations

from pathlib import Path

from moestat.montecarlo import Store

TINY = """
[study]
name = "tiny"
seed = 5

[truth]
gate_params = { intercepts = [0.0, 0.0], slopes = [[1.0], [0.0]] }
expert_params = { intercepts = [1.0, -1.0], slopes = [[1.0], [-1.0]], variances = [0.25, 0.25] }

[covariates]
law = "normal"

[design]
n = [60, 120]
replications = 4

[[fit]]
name = "K2"
n_experts = 2

[[protocol]]
name = "mle"
n_starts = 2
"""

#: The same, and so long that it can be interrupted.
#: A study that takes some seconds, and its rows.
LONG_ROWS = 960
LONG = TINY.replace("n = [60, 120]", "n = [400, 800]").replace("replications = 4", "replications = 480")


def written(path: Path, text: str = TINY) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def digest(store: Path) -> str:
    with Store.open(store, read_only=True) as opened:
        return opened.results_digest()


def rows(store: Path) -> int:
    with Store.open(store, read_only=True) as opened:
        return sum(sum(counts.values()) for counts in opened.counts().values())
