"""What is written down of an end point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.montecarlo import MLE, Design, FittedModel, Record, Study
from moestat.montecarlo.protocols import End
from moestat.montecarlo.reading import Table
from moestat.montecarlo.recording import BASE, GAIN, Loss, Recorder, read_record
from moestat.montecarlo.replication import Work
from moestat.montecarlo.rows import Batch
from moestat.theory import hellinger, measure_distance, mixing_measure, total_variation, voronoi_loss
from tests.unit.montecarlo.own import gaussian_truth, task_of
from tests.unit.montecarlo.small import K2, K3, REAL

TRUTH = gaussian_truth()
LAW = REAL.covariates
BESIDE = {"n_warnings": 0.0, "shortfall": 0.0, GAIN: 1.5}
RECORD = Record(
    losses=("voronoi", "voronoi:sharp", "voronoi(r=3.0)"),
    distances=("hellinger", "total_variation", "measure"),
    reference="K2",
    distance_points=32,
)


def recorded(fitted, record=RECORD, n=300) -> tuple[End, dict[str, float], Recorder]:
    """An end, its numbers by column, and what made them."""
    end = MLE(n_starts=3).fit(task_of(fitted, TRUTH, n, 0))
    recorder = Recorder(record, fitted, TRUTH, LAW)
    numbers = recorder.of(end, BESIDE)
    assert len(numbers) == len(recorder.columns) == len(set(recorder.columns))
    return end, dict(zip(recorder.columns, numbers, strict=True)), recorder


@pytest.mark.parametrize("fitted", [K2, K3], ids=lambda fitted: fitted.name)
def test_losses_and_distances_are_those_of_the_theory(fitted):
    end, numbers, _ = recorded(fitted)
    true = mixing_measure(TRUTH.model, TRUTH.params, moments=LAW.moments(1))
    measure = mixing_measure(fitted.model, end.params)
    assert numbers["voronoi"] == voronoi_loss(measure, true)
    assert numbers["voronoi:sharp"] == voronoi_loss(measure, true, variant="sharp")
    assert numbers["voronoi(r=3.0)"] == voronoi_loss(measure, true, r=3.0)
    assert numbers["measure"] == measure_distance(measure, true, coordinates="standardised")
    pairs, points = ((fitted.model, end.params), (TRUTH.model, TRUTH.params)), LAW.points(32, 1)
    assert numbers["hellinger"] == hellinger(*pairs, points).value
    assert numbers["total_variation"] == total_variation(*pairs, points).value


@pytest.mark.parametrize("fitted", [K2, K3], ids=lambda fitted: fitted.name)
@pytest.mark.parametrize("loss", RECORD.losses)
def test_summands_make_up_their_loss(fitted, loss):
    _, numbers, _ = recorded(fitted)
    assert sum(v for name, v in numbers.items() if name.startswith(f"{loss}/")) == pytest.approx(numbers[loss])


def test_numbers_that_an_end_knows_and_those_it_is_told():
    end, numbers, recorder = recorded(K2)
    assert recorder.columns[: len(BASE) + 1] == (*BASE, GAIN)
    assert (numbers["loglik"], numbers["n_starts"], numbers["trusted"]) == (end.loglik, 3.0, 1.0)
    assert numbers[GAIN] == 1.5
    _, _, recorder = recorded(K2, replace(RECORD, reference=None))
    assert GAIN not in recorder.columns


def test_cells_and_deviations_of_a_model_with_an_expert_too_many():
    _, numbers, _ = recorded(K3)
    assert numbers["cell/1"] + numbers["cell/2"] == 3
    assert sorted([numbers["cell/1"], numbers["cell/2"]]) == [1, 2]
    assert not any(name.startswith("estimate/") for name in numbers)
    assert all(np.isfinite(v) for name, v in numbers.items() if "deviation" in name)
    _, exact, _ = recorded(K2)
    assert all(np.isnan(v) for name, v in exact.items() if "deviation/over-covered" in name)


def test_estimates_are_aligned_to_the_truth():
    _, numbers, recorder = recorded(K2, n=5000)
    values = recorder.true_values()
    assert set(values) == {name for name in numbers if name.startswith("estimate/")}
    assert values["estimate/log_mass[1]"] == 0.0
    for name, value in values.items():
        assert numbers[name] == pytest.approx(value, abs=0.5), name
    assert not recorded(K2, replace(RECORD, estimates=False))[2].true_values()


def test_estimates_of_the_right_model_converge_to_what_they_estimate():
    protocol = MLE(n_starts=1, polish_from=("truth",))
    study = Study("a", TRUTH, Design([5000], 40), [K2], covariates=LAW, protocols=[protocol])
    (cell,) = study.cells
    rows = Work(study)(Batch(5000, tuple(range(40)), (cell.digest,))).rows
    table = np.array([row.numbers for row in rows])
    for name, value in study.recorders["K2"].true_values().items():
        column = table[:, cell.columns.index(name)]
        assert abs(column.mean() - value) < 4 * column.std() / np.sqrt(40) + 0.01, name
        assert column.std() < 0.25, name


def test_gain_is_over_the_reference_fit():
    rows = Work(REAL)(Batch(60, (0, 1, 2), tuple(cell.digest for cell in REAL.cells if cell.n == 60))).rows
    cells = {cell.digest: cell for cell in REAL.cells}
    level = {}
    for row in rows:
        columns = cells[row.cell].columns
        level[cells[row.cell].fit, cells[row.cell].protocol, row.replication] = (
            row.numbers[columns.index("loglik")],
            row.numbers[columns.index(GAIN)],
        )
    for (_, _, replication), (loglik, gain) in level.items():
        assert gain == loglik - level["K2", "mle", replication][0]
    assert all(level["K2", "mle", r][1] == 0.0 for r in range(3))


def test_a_fit_may_have_losses_of_its_own():
    own = FittedModel("a", K3.model, losses=("voronoi:merged",))
    assert "voronoi:merged" in Recorder(RECORD, own, TRUTH, LAW).columns
    assert "voronoi" not in Recorder(RECORD, own, TRUTH, LAW).columns
    none = Recorder(RECORD, FittedModel("a", K3.model, losses=()), TRUTH, LAW)
    assert none.columns == (*BASE, GAIN, *RECORD.distances)


def test_another_gate_has_distances_of_densities_and_no_loss():
    laplace = FittedModel("a", ms.MixtureOfExperts(gate="laplace", n_experts=2))
    with pytest.raises(InputError, match="Fit a model with the gate and the expert of the truth"):
        Recorder(RECORD, laplace, TRUTH, LAW)
    _, numbers, _ = recorded(laplace, Record(losses=(), distances=("hellinger",)))
    assert 0 < numbers["hellinger"] < 0.5


NO_LOSSES = (
    *("", "voroni", "voronoi:", "voronoi:sharpe", "voronoi(", "voronoi(r=n)", "voronoi(r=1)(2)", "voronoi(*[1])"),
    *("voronoi(**{})", "voronoi(parts=True)", "voronoi(r=0)", "voronoi(r=1e999)", f"voronoi(r={10**30})x", "a" * 3000),
    *("__import__('os')", f"voronoi(r={'9' * 3600})", "voronoi(cells='none')", "x.voronoi()", "voronoi(1)"),
)


@pytest.mark.parametrize("label", NO_LOSSES)
def test_what_is_no_loss(label):
    with pytest.raises(InputError) as found:
        Loss(label)
    assert len(str(found.value)) < 600


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"losses": "voronoi"}, "^record.losses must be a list"),
        ({"losses": ["voronoi:x"]}, "^record: a loss is"),
        ({"distances": ["helinger"]}, "^record: distances are .*hellinger"),
        ({"distance_points": 4}, "^record.distance_points must be a whole number from 8"),
        ({"estimates": 1}, "^record.estimates must be true or false"),
        ({"reference": 1}, "^record.reference must be text"),
        ({"loss": []}, "^record.loss is not known"),
    ],
)
def test_records_that_are_none(values, said):
    with pytest.raises(InputError, match=said):
        read_record(Table(values, "record"))
