"""``moestat demo``: two fits to real data and a simulation study, with their verdicts and pictures."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from moestat.cli.options import of_output

if TYPE_CHECKING:
    from moestat.datasets import Dataset

#: Name of the data set, what the fit shows, and the figure's title.
EXAMPLES = (
    (
        "tone",
        "A mixture of two regressions: some trials are tuned to the octave whatever the overtones do, others follow "
        "the stretched overtones.",
        "Tone perception: tuned to the octave (flat) or to the overtones (slope 1)",
    ),
    (
        "anes96",
        "A mixture of two multinomial logits: how party follows ideology, for two kinds of voters, and which kind is "
        "more common at which income.",
        "Party identification by ideology, for two kinds of voters told apart by income",
    ),
)


def command(
    out: Annotated[Path, of_output("Folder for figures, results and the report.")] = Path("moestat-demo"),
) -> None:
    """Fit two mixtures of experts to real data, then measure how fast such a fit nears a known truth."""
    import matplotlib

    from moestat.datasets import load

    matplotlib.use("Agg")
    out.mkdir(parents=True, exist_ok=True)
    for number, (name, story, title) in enumerate(EXAMPLES, start=1):
        _example(number, load(name), story, title, out)
    _study(out)


def _example(number: int, data: Dataset, story: str, title: str, folder: Path) -> None:
    from moestat.plotting import plot_fit

    typer.echo(f"\n{number}. {data.name}: {data.description}\n   Source: {data.source}\n   {story}\n")
    start = perf_counter()
    results = data.moe().fit()
    seconds = perf_counter() - start
    typer.echo(results.summary().as_text())
    typer.echo(str(results.check()))
    path = folder / f"{data.name}.png"
    plot_fit(results, title=title).savefig(path)
    typer.echo(f"\nFitted in {seconds:.1f} s. Figure: {path}\n")


def _study(folder: Path) -> None:
    """A small convergence study, with its slopes and its report."""
    from moestat import montecarlo
    from moestat.threads import usable_processors

    study = montecarlo.Study.from_text(files("moestat.cli").joinpath("demo.toml").read_text(encoding="utf-8"))
    n = study.design.n
    typer.echo(
        f"{len(EXAMPLES) + 1}. A simulation study: {study.design.replications} data sets of each of {len(n)} sizes "
        f"from {n[0]} to {n[-1]}, drawn\n   from a known mixture of two regressions ({study.truth.words}) and fitted. "
        "How fast do the fits near the truth?\n"
    )
    start = perf_counter()
    store = folder / "study.db"
    montecarlo.run(study, store, workers=min(4, usable_processors()), progress=True)
    found = montecarlo.report(study, store, folder / "study.html")
    typer.echo(f"{found}\n")
    typer.echo(f"Simulated in {perf_counter() - start:.0f} s; results in {store}, report: {found.files[0]}")
