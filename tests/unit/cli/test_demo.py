"""The demonstration."""

from __future__ import annotations

import re

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from moestat.cli import app


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What the demo says, and the folder it writes to."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "figures"
    return CliRunner().invoke(app, ["demo", "--out", str(folder)], catch_exceptions=False), folder


def test_the_demo_ends_well(demo):
    assert demo[0].exit_code == 0


def test_the_demo_writes_two_pictures_and_a_study(demo):
    names = {path.name for path in demo[1].iterdir()}
    assert {"anes96.png", "tone.png", "study.db", "study.html"} <= names


def test_the_demo_measures_the_rate_and_names_its_report(demo):
    text = demo[0].stdout
    slope = re.search(r"K2, mle, voronoi: [a-z ]+: The effective slope .* is (-\d\.\d+) ", text)
    assert abs(float(slope[1]) + 0.5) < 0.08
    assert f"report: {demo[1] / 'study.html'}" in text
    page = (demo[1] / "study.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "https://" not in page.replace("https://www.w3.org", "")  # it stands alone


@pytest.mark.parametrize("name", ["anes96.png", "tone.png"])
def test_the_pictures_show_something(demo, name):
    """Not blank, and sharp enough for print."""
    image = imread(demo[1] / name)
    assert min(image.shape[:2]) > 700
    assert image[..., :3].std() > 0.05


def test_the_demo_prints_both_summaries(demo):
    text = demo[0].stdout
    assert text.count("Mixture of experts") == 2
    assert text.count("Verdict: a strict interior maximum of the likelihood.") == 2


def test_the_demo_checks_both_fits(demo):
    assert demo[0].stdout.count("Checks passed") == 2


def test_the_demo_names_its_sources_and_figures(demo):
    text = demo[0].stdout
    assert text.count("Source:") == 2
    assert all(f"Figure: {demo[1] / name}" in text for name in ("tone.png", "anes96.png"))
