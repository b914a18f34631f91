"""From starts to solutions: how many are made, which are finished, what is merged and what is tried again."""

from __future__ import annotations

import warnings
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

import moestat as ms
from moestat import Status, screening, search
from moestat.gates import Entmax, Gate, Softmax, Sparsemax, Threshold
from moestat.search import Outcome, Search
from moestat.solvers import EM
from moestat.starts import FAMILIES, GIVEN, Start, StartLaw
from tests.unit.draws import normal
from tests.unit.samples import problem_of, sample


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)
        return ms.fit(*args, **options)


@cache
def easy():
    rows = sample(2, n=150)
    return quiet(rows.model, rows.X, rows.y, n_starts="auto")


@cache
def hard():
    data = ms.datasets.load("faithful")
    return quiet(ms.MixtureOfExperts(n_experts=3), data.X, data.y, n_starts="auto")


# ------------------------------------------------------------------------------------ how many
def test_auto_stops_once_one_solution_was_found_often_and_no_other_is_expected():
    c = easy().certificate
    found = 1 + len(c.rivals)
    assert c.n_starts < search.MOST_STARTS
    assert c.n_reached >= search.OFTEN_ENOUGH
    assert found * (c.n_starts - 1) / (c.n_starts - found - 2) < found + 0.5


def test_auto_goes_on_while_new_solutions_turn_up():
    c = hard().certificate
    assert c.n_starts > easy().certificate.n_starts
    found = 1 + len(c.rivals)
    enough = c.n_reached >= search.OFTEN_ENOUGH and found * (c.n_starts - 1) / (c.n_starts - found - 2) < found + 0.5
    assert enough or c.n_starts == search.MOST_STARTS


@pytest.mark.parametrize("results", [easy, hard])
def test_the_certificate_says_how_sure_the_starts_make_it(results):
    """A solution that a share p of all starts lead to is missed by m of them with probability (1 - p)^m."""
    c = results().certificate
    assert (1 - c.unseen) ** c.n_finished == pytest.approx(0.05, rel=1e-12)
    assert f"95 % sure: no better solution that more than {100 * c.unseen:.0f} % of such starts lead to" in str(c)


def test_auto_gives_the_same_starts_as_a_number():
    rows = sample(2, n=150)
    n = easy().certificate.n_starts
    assert quiet(rows.model, rows.X, rows.y, n_starts=n).starts.equals(easy().starts)


def spiky():
    """One point repeated: most starts end on it."""
    x = np.r_[np.linspace(0, 1, 30), np.full(10, 0.5)]
    return x, np.r_[normal(30, seed=2), np.full(10, 5.0)]


def test_more_starts_are_made_by_default_while_all_end_in_spikes():
    default, asked = quiet(ms.MixtureOfExperts(), *spiky()), quiet(ms.MixtureOfExperts(), *spiky(), n_starts=20)
    assert default.certificate.status is ms.Status.AT_FLOOR
    assert default.certificate.n_starts == 20 * (1 + search.RESCUES)
    assert asked.certificate.n_starts == 20


# ------------------------------------------------------------------------------------ what is merged
def test_runs_that_meet_are_finished_once(monkeypatch):
    """On easy data many short runs end at one point; each distinct one is carried on once."""
    rows = sample(2, n=150)
    law = StartLaw.of(problem_of(rows.model, rows.X, rows.y), 0)
    runs = Search(rows.model, law.problem, law)
    finished = []
    monkeypatch.setattr(Search, "_finished", lambda self, o, real=Search._finished: finished.append(o) or real(self, o))
    monkeypatch.setattr(search, "SHORT_RUN", EM(max_iter=400, rtol=None, gtol=1e-12))
    runs.run([], 14)
    assert len(runs.finished) == 14
    assert len(finished) < 14
    for outcome in runs.finished:
        assert outcome.final.loglik >= outcome.short.loglik - 1e-9
    assert sum(map(len, runs.solutions)) == 14


def test_an_expert_that_loses_its_rows_is_placed_anew_and_counted(monkeypatch):
    """All starts put the second expert far away; without a new place it would stay empty."""
    rows = sample(2, n=150)
    law = StartLaw.of(problem_of(rows.model, rows.X, rows.y), 0)
    far = law.problem.layout.index("expert.intercepts")[1]
    real = StartLaw.__iter__

    def exiled(self):
        for start in real(self):
            start.theta[far] = 1e5
            yield start

    monkeypatch.setattr(StartLaw, "__iter__", exiled)
    results = ms.fit(rows.model, rows.X, rows.y, n_starts=6)
    assert (results.starts.reseeded > 0).all()
    assert results.certificate.n_reseeded == 6
    assert "in 6 an expert lost its rows and was placed anew" in str(results.certificate)
    assert results.certificate.trusted
    assert results.llf == pytest.approx(easy().llf, abs=1e-7)


def test_a_solver_can_be_named():
    rows = sample(2, n=150)
    named = ms.fit(rows.model, rows.X, rows.y, n_starts=2, solver="newton")
    assert set(named.trace.method) == {"newton"}
    assert named.llf == pytest.approx(easy().llf, abs=1e-7)


def test_families_can_be_chosen():
    rows = sample(2, n=150)
    results = ms.fit(rows.model, rows.X, rows.y, n_starts=4, families=["cells", "clusters"])
    assert list(results.starts.family) == ["cells", "clusters"] * 2
    assert set(easy().starts.family) <= set(FAMILIES)


# ------------------------------------------------------------------------------------ screened on a sample
MANY = 8000


@pytest.fixture
def screened(monkeypatch):
    """As with many rows, but fewer."""
    monkeypatch.setattr(screening, "SCREENED_ROWS", MANY)
    monkeypatch.setattr(screening, "LEAST_ROWS", 1000)
    monkeypatch.setattr(search, "FINISH_ALL_ROWS", MANY // 4)


def many_rows(kind):
    """Lines far apart, lines that overlap, and one with a hundredth of the rows."""
    K = {"apart": 3, "overlapping": 2, "rare": 4, "six": 6}[kind]
    rng = np.random.default_rng(len(kind))
    noise = 1.5 if kind == "overlapping" else 0.4
    gate = {
        "slopes": rng.standard_normal((K, 2)),
        "intercepts": np.r_[-4.5 if kind == "rare" else 0.0, np.zeros(K - 1)],
    }
    lines = {"slopes": 2 * rng.standard_normal((K, 2)), "intercepts": rng.standard_normal(K)}
    lines["variances"] = np.full(K, noise**2)
    model = ms.MixtureOfExperts(n_experts=K)
    X = rng.standard_normal((MANY, 2))
    return model, X, model.sample(model.params(gate=gate, expert=lines), X, rng)


@cache
def on_all_rows(kind):
    """The fit whose starts all see all rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "SCREENED_ROWS", MANY + 1)
        return quiet(*many_rows(kind))


@pytest.mark.parametrize("kind", ["apart", "overlapping", "rare", "six"])
def test_screened_starts_lead_to_a_solution_that_is_no_worse(kind, screened):
    results = quiet(*many_rows(kind))
    assert results.certificate.trusted
    assert results.llf >= on_all_rows(kind).llf - 1e-6
    assert len(results.starts) == 20


def runs_of(kind, n_starts=8, given=()):
    model, X, y = many_rows(kind)
    law = StartLaw.of(problem_of(model, X, y), 0)
    runs = Search(model, law.problem, law)
    runs.run(list(given), n_starts)
    return runs


def test_what_a_sample_says_is_judged_on_all_rows(screened):
    """Log-likelihoods of every start are those of all rows at its point, finished or not, and never fall."""
    runs = runs_of("six")
    passes = runs.problem.passes
    assert len(runs.outcomes) == 8
    assert len({outcome.start.family for outcome in runs.outcomes}) == len(FAMILIES)
    for outcome in runs.outcomes:
        assert outcome.short.loglik == pytest.approx(passes.loglik(outcome.short.theta), rel=1e-12)
        if outcome.final is not None:
            assert outcome.final.loglik >= outcome.short.loglik - 1e-9 * abs(outcome.short.loglik)
            assert outcome.final.loglik == pytest.approx(passes.loglik(outcome.final.theta), rel=1e-12)
            climbed = [row.loglik for row in outcome.final.trace]
            assert np.diff(climbed).min(initial=0.0) > -1e-9 * abs(climbed[-1])


def test_runs_that_meet_on_a_sample_are_finished_once(screened, monkeypatch):
    finished = []
    monkeypatch.setattr(Search, "_finished", lambda self, o, real=Search._finished: finished.append(o) or real(self, o))
    runs = runs_of("apart", 14)
    assert len(finished) < len(runs.finished) == 14
    assert all(outcome.seen is None for outcome in runs.finished)


def test_short_runs_see_a_sample_only(screened):
    """Of all rows there is no EM, where the sample's ends are of use."""
    runs = runs_of("apart")
    assert {row.method for outcome in runs.finished for row in outcome.final.trace} == {"sample", "newton"}


def test_starts_of_the_caller_are_followed_on_all_rows(screened):
    start = Start(GIVEN, runs_of("apart", 2).best.final.theta)
    runs = runs_of("apart", 3, [start])
    assert runs.outcomes[0].short.trace[0].method == "em"
    assert runs.outcomes[0].final.loglik >= runs.problem.passes.loglik(start.theta) - 1e-7


def test_an_expert_that_loses_its_rows_of_a_sample_is_placed_anew(screened, monkeypatch):
    model, X, y = many_rows("apart")
    far = problem_of(model, X, y).layout.index("expert.intercepts")[1]
    real = StartLaw.__iter__

    def exiled(self):
        for start in real(self):
            start.theta[far] = 1e5
            yield start

    monkeypatch.setattr(StartLaw, "__iter__", exiled)
    results = quiet(model, X, y, n_starts=6)
    assert (results.starts.reseeded > 0).all()
    assert results.llf == pytest.approx(on_all_rows("apart").llf, abs=1e-6)


def test_where_weights_jump_every_start_sees_all_rows(screened):
    _, X, y = many_rows("apart")
    model = ms.MixtureOfExperts(gate=ms.gates.TopK(n_active=2), n_experts=3)
    law = StartLaw.of(problem_of(model, X, y), 0)
    assert Search(model, law.problem, law)._screen is None


# --------------------------------------------------------------------------------------- which end is reported
def preferred(gate: Gate, *ends: tuple[Status, float]) -> int:
    """Which of several ends is the best of a model with eleven parameters and 800 rows."""
    terms = SimpleNamespace(gate=gate, expert=SimpleNamespace(drifts=False), smooth=gate.smooth)
    problem = SimpleNamespace(passes=SimpleNamespace(terms=terms), weight_of_a_row=1.0, total_weight=800.0)
    outcomes = [
        Outcome(
            start=None,
            short=None,
            final=SimpleNamespace(loglik=loglik),
            optimum=SimpleNamespace(status=status, ahead=0.0, n_identified=11),
        )
        for status, loglik in ends
    ]
    search = Search(None, problem, None, outcomes=outcomes)
    return next(i for i, outcome in enumerate(outcomes) if outcome is search.best)


@pytest.mark.parametrize(
    ("gate", "gain", "taken"),
    [
        (Softmax(), 1000.0, False),
        (Entmax(alpha=1.5), 1000.0, False),
        (Sparsemax(), 3.0, False),
        (Sparsemax(), 4.0, True),
        (Threshold(), 4.0, True),
        (Threshold(mass=1.0), 1000.0, False),
    ],
)
def test_an_end_at_a_kink_or_jump_may_be_the_best(gate, gain, taken):
    """Higher than a strict maximum by more than one parameter's penalty, log(800) / 2 = 3.34; never without kinks."""
    ends = (Status.STRICT_MAXIMUM, -900.0), (Status.NOT_CONVERGED, -900.0 + gain)
    assert preferred(gate, *ends) == int(taken)


def test_a_supremum_still_pays_for_the_whole_model():
    """11 log(800) / 2 = 36.8, whatever the gate."""
    for gate in (Softmax(), Sparsemax()):
        for gain, taken in ((36.0, False), (38.0, True)):
            ends = (Status.STRICT_MAXIMUM, -900.0), (Status.RUNAWAY, -900.0 + gain)
            assert preferred(gate, *ends) == int(taken)
