"""`moestat study report`: what a reader gets."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import dropwhile, takewhile

import numpy as np
import pytest
from typer.testing import CliRunner

from moestat import montecarlo as mc
from moestat.cli import app
from moestat.errors import InputError
from moestat.montecarlo.collecting import groups
from moestat.montecarlo.measuring import Options, measurements
from moestat.montecarlo.rows import ERROR, OK, Finished, Row
from moestat.montecarlo.slopes import NoSlopeError

STUDY = """
[study]
name = "reported"
title = "A title with <brackets>"
seed = 3
[truth]
gate_params = { intercepts = [0.0, 0.0], slopes = [[0.5], [-0.5]] }
expert_params = { intercepts = [1.5, -1.5], slopes = [[0.5], [-0.5]], variances = [1.0, 0.64] }
[covariates]
law = "normal"
[design]
n = [100, 200, 400, 800, 1600, 3200]
replications = 40
[[fit]]
name = "K2"
[[fit]]
name = "K3"
n_experts = 3
[record]
distances = ["hellinger"]
reference = "K2"
"""


def filled(path, exponent=0.5, still=False):
    """A store of made up results with a known law: losses fall like n^-exponent, and some fits of K3 fail."""
    study = mc.Study.from_text(STUDY)
    rng = np.random.default_rng(0)
    with mc.Store.open_or_create(path, study.text, study.cells) as store:
        for cell in study.cells:
            rows = []
            for r in range(study.design.replications):
                failed = cell.fit == "K3" and r % 10 == 7
                numbers = np.full(len(cell.columns), np.nan)
                if not failed:
                    numbers[:] = rng.lognormal(0.0, 0.3, numbers.size) * cell.n**-exponent
                    at = {name: i for i, name in enumerate(cell.columns)}
                    numbers[at["cell/1"]], numbers[at["cell/2"]] = (1, 1) if cell.fit == "K2" else (2, 1)
                    numbers[at["gain"]] = 0.0 if cell.fit == "K2" or still else rng.chisquare(3)
                    numbers[at["trusted"]], numbers[at["n_reached"]], numbers[at["n_starts"]] = 1, 6, 12
                    numbers[at["n_bounds"]], numbers[at["shortfall"]] = 0, 0
                words = '{"error": {"message": "no | luck", "type": "ValueError", "where": "here"}}' if failed else ""
                status = "" if failed else "STRICT_MAXIMUM"
                rows.append(Row(cell.digest, r, ERROR if failed else OK, status, numbers, words))
            store.append(Finished(tuple(rows), np.zeros(len(rows)), "host:1", "{}"))
    return study


def numbers_of(text, title):
    """The rows of a table of a report in Markdown, by its title."""
    lines = dropwhile(lambda line: not line.startswith("|"), text.split(f"**{title}**\n")[1].splitlines())
    table = list(takewhile(lambda line: line.startswith("|"), lines))[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


@pytest.fixture
def written(tmp_path):
    file, store = tmp_path / "reported.toml", tmp_path / "reported.db"
    file.write_text(STUDY)
    study = filled(store)
    return study, file, store


def test_the_page_stands_alone_and_the_verdicts_are_printed(written):
    _, file, store = written
    result = CliRunner().invoke(app, ["study", "report", str(file)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "K2, mle, voronoi: consistent: The effective slope" in result.stdout
    page = store.with_suffix(".html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3  # two measures and the gain
    assert "A title with &lt;brackets&gt;" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_numbers_of_the_report_are_those_of_the_rows(written, tmp_path):
    study, _, store = written
    report = mc.report(study, store, tmp_path / "page.md")
    text = report.files[0].read_text(encoding="utf-8")
    with mc.Store.open(store, read_only=True) as found:
        rows = found.frame()
    for fit, protocol, n, R, mean, median, *_ in numbers_of(text, "voronoi"):
        x = rows[(rows.fit == fit) & (rows.protocol == protocol) & (rows.n == int(n))].voronoi.dropna()
        assert int(R) == len(x)
        estimate, error = re.fullmatch(r"(\S+) \((\S+)\)", mean).groups()
        assert float(estimate) == pytest.approx(x.mean(), rel=1e-3)
        assert float(error) == pytest.approx(x.std(ddof=1) / len(x) ** 0.5, rel=6e-2)
        assert float(median) == pytest.approx(x.median(), rel=1e-3)
    assert all(picture.read_bytes()[:4] == b"\x89PNG" for picture in report.files[1:])


def test_failures_are_counted_with_their_worst_cases(written, tmp_path):
    study, _, store = written
    text = mc.report(study, store, tmp_path / "page.md").files[0].read_text(encoding="utf-8")
    with mc.Store.open(store, read_only=True) as found:
        rows = found.frame()
    table = numbers_of(text, "Failures")
    assert len(table) == 6
    for fit, _, n, reason, count, worst in table:
        x = rows[(rows.fit == fit) & (rows.n == int(n))].voronoi
        assert (fit, reason, int(count)) == ("K3", "ValueError: no \\| luck", x.isna().sum())
        low, high = map(float, worst.split(" to "))
        assert low == pytest.approx(x.fillna(0.0).mean(), rel=1e-3)
        assert high == pytest.approx(x.fillna(x.max()).mean(), rel=1e-3)


def test_a_fit_that_gained_nothing_is_called_by_its_name(tmp_path):
    study = filled(tmp_path / "still.db", still=True)
    table = mc.slope_table(study, tmp_path / "still.db").set_index(["fit", "measure"]).verdict
    assert table["K3", "voronoi"] == "did not move"
    assert table["K2", "voronoi"] == "consistent"


def test_slopes_are_those_of_the_law(tmp_path):
    study = filled(tmp_path / "slow.db", exponent=0.25)
    table = mc.slope_table(study, tmp_path / "slow.db").set_index(["fit", "measure"])
    one = table.loc[("K2", "hellinger")]
    assert one.low < -0.25 < one.high
    assert one.verdict == "slower"
    narrow = mc.slope_table(study, tmp_path / "slow.db", window=(100, 400), measures=["voronoi/masses"])
    assert set(narrow.verdict) == {"window too short"}


def test_reports_refuse_what_they_cannot_do(written, tmp_path):
    study, file, _ = written
    run = CliRunner().invoke(app, ["study", "report", str(file), "--out", "page.pdf"])
    assert run.exit_code == 2
    assert "--out must end in .html or .md" in run.stderr
    assert CliRunner().invoke(app, ["study", "report", str(file), "--from", "500", "--to", "100"]).exit_code == 2
    with mc.Store.open_or_create(tmp_path / "empty.db", study.text, study.cells):
        pass
    with pytest.raises(InputError, match="no rows of the study"):
        mc.report(study, tmp_path / "empty.db", tmp_path / "page.html")


def test_only_sizes_have_slopes(written):
    study, _, store = written
    with mc.Store.open(store, read_only=True) as found:
        group = next(groups(study, found))
    signed = replace(group, cells={n: replace(rows, numbers=-rows.numbers) for n, rows in group.cells.items()})
    with pytest.raises(NoSlopeError, match="negative values"):
        signed.measured("voronoi")


def test_what_is_missing_stands_beside_the_verdict(written):
    study, _, store = written
    table = mc.slope_table(study, store).set_index(["fit", "measure"])
    assert table.loc[("K2", "voronoi"), "missing"] == 0
    assert table.loc[("K3", "voronoi"), "missing"] == 24
    assert "24 of 240 replications have no value" in table.loc[("K3", "voronoi"), "sentence"]


def test_no_verdict_where_missing_values_decide_it(written):
    study, _, store = written
    with mc.Store.open(store, read_only=True) as found:
        group = next(one for one in groups(study, found) if one.fit == "K2")

    def censored(n, rows):
        """Two thirds of the largest samples are lost."""
        lost = rows.replications % 3 > 0 if n >= 800 else np.zeros(len(rows.replications), dtype=bool)
        numbers = np.where(lost[:, None], np.nan, rows.numbers)
        return replace(rows, numbers=numbers, outcomes=np.where(lost, ERROR, OK))

    partly = replace(group, cells={n: censored(n, rows) for n, rows in group.cells.items()})
    (one,) = measurements(study, partly, Options(), ["voronoi"])
    assert one.verdict is None
    assert one.problem.startswith("missing values decide it")


def test_replications_beyond_the_plan_are_left_out(written, tmp_path):
    _, _, store = written
    fewer = mc.Study.from_text(STUDY.replace("replications = 40", "replications = 15"))
    assert set(mc.slope_table(fewer, store).replications) <= {13, 14, 15}
    text = mc.report(fewer, store, tmp_path / "page.md").files[0].read_text(encoding="utf-8")
    assert {row[3] for row in numbers_of(text, "hellinger") if row[0] == "K2"} == {"15"}
