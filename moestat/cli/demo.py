"""Two fits to real data, with their verdicts and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import matplotlib

from moestat.datasets import Dataset, load
from moestat.experts import Gaussian, Multinomial
from moestat.fitting import fit
from moestat.gates import Softmax
from moestat.model import MixtureOfExperts

#: Name of the data set, the model, what the fit shows, and the figure's title.
EXAMPLES = (
    (
        "tone",
        MixtureOfExperts(gate=Softmax(), expert=Gaussian(), n_experts=2),
        "A mixture of two regressions: some trials are tuned to the octave whatever the overtones do, others follow "
        "the stretched overtones.",
        "Tone perception: tuned to the octave (flat) or to the overtones (slope 1)",
    ),
    (
        "anes96",
        MixtureOfExperts(gate=Softmax(), expert=Multinomial(), n_experts=2),
        "A mixture of two multinomial logits: how party follows ideology, for two kinds of voters, and which kind is "
        "more common at which income.",
        "Party identification by ideology, for two kinds of voters told apart by income",
    ),
)


def run(out: str, say: Callable[[str], None]) -> None:
    """Fit, print and draw every example; figures go to the folder ``out``."""
    matplotlib.use("Agg")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, model, story, title) in enumerate(EXAMPLES, start=1):
        _example(number, load(name), model, story, title, folder, say)


def _example(
    number: int,
    data: Dataset,
    model: MixtureOfExperts,
    story: str,
    title: str,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    from moestat.plotting import plot_fit

    say(f"\n{number}. {data.name}: {data.description}\n   Source: {data.source}\n   {story}\n")
    Z = None if data.gate_covariates == data.covariates else data.Z
    start = perf_counter()
    results = fit(model, data.X, data.y, Z)
    seconds = perf_counter() - start
    say(results.summary().as_text())
    say(str(results.check()))
    path = folder / f"{data.name}.png"
    plot_fit(results, data.X, data.y, Z, title=title).savefig(path)
    say(f"\nFitted in {seconds:.1f} s. Figure: {path}\n")
