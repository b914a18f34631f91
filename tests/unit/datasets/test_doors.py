"""The data sets of statsmodels and scikit-learn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import sklearn.datasets
import statsmodels.datasets

import moestat as ms
from moestat.datasets import Dataset, from_sklearn, from_statsmodels
from moestat.datasets.dataset import quoted
from moestat.datasets.sklearn_sets import _functions
from moestat.datasets.statsmodels_sets import _names
from moestat.errors import InputError
from moestat.frames.grammar import parse

#: Sets of scikit-learn that need no network.
AT_HAND = [name for name, function in _functions().items() if function.__name__.startswith("load_")]


# --------------------------------------------------------------------------------------- statsmodels
@pytest.mark.parametrize("name", _names())
def test_every_set_of_statsmodels_opens(name):
    data = from_statsmodels(name)
    assert isinstance(data, Dataset)
    assert data.title
    assert data.source
    assert str(data).startswith(f"{name}: ")
    if data.suggestion is not None:
        assert data.y.name == data.response
        assert list(data.X.columns) == list(data.covariates)


def test_response_and_covariates_are_those_of_statsmodels():
    data = from_statsmodels("stackloss")
    theirs = statsmodels.datasets.stackloss.load_pandas()
    assert (data.response, list(data.covariates)) == (theirs.endog.name, list(theirs.exog.columns))
    assert data.frame.equals(theirs.data)
    assert data.suggestion.formula == "STACKLOSS ~ AIRFLOW + WATERTEMP + ACIDCONC"


@pytest.mark.parametrize("name", ["co2", "star98", "macrodata"])
def test_where_there_is_not_one_response_the_way_out_is_a_formula(name):
    data = from_statsmodels(name)
    assert data.suggestion is None
    with pytest.raises(InputError, match=r"Name it in a formula, as data.moe\('y ~ x \| z'\)"):
        data.moe()
    column = data.frame.columns[0]
    assert len(data.moe(f"{column} ~ 1", missing="drop").y) == data.frame[column].notna().sum()


def test_a_set_without_covariates_has_a_mixture_without_any():
    assert from_statsmodels("nile").suggestion.formula == "volume ~ 1"


def test_the_suggestion_is_a_model_that_fits():
    results = from_statsmodels("engel").moe().fit(n_starts=2)
    assert results.schema.responses == ("foodexp",)


@pytest.mark.parametrize(
    ("name", "expert"),
    [
        ("spector", "multinomial"),
        ("modechoice", "multinomial"),
        ("anes96", "multinomial"),
        ("cpunish", "gaussian"),  # seven different counts, up to 37
        ("randhie", "gaussian"),
        ("statecrime", "gaussian"),
    ],
)
def test_few_whole_numbers_in_a_row_are_classes(name, expert):
    data = from_statsmodels(name)
    assert data.suggestion.expert == expert
    model = data.moe(n_experts=1)
    assert model.model.expert.categorical == (expert == "multinomial")


def test_classes_by_number_can_be_fitted():
    assert from_statsmodels("spector").moe(n_experts=1).fit(n_starts=1).schema.classes == (0.0, 1.0)


def test_the_rows_belong_to_the_caller():
    data = from_statsmodels("longley")
    frame = data.frame
    frame.iloc[0, 0] = -1.0
    assert data.frame.iloc[0, 0] != -1.0


def test_data_sets_can_be_pickled():
    for data in (ms.datasets.load("tone"), from_statsmodels("longley"), from_sklearn("iris")):
        assert pickle.loads(pickle.dumps(data)).frame.equals(data.frame)


def test_an_unknown_set_of_statsmodels():
    with pytest.raises(
        InputError, match=r"statsmodels has no data set 'angel'; it has \['anes96'.*Did you mean 'engel'"
    ):
        from_statsmodels("angel")


# --------------------------------------------------------------------------------------- scikit-learn
@pytest.mark.parametrize("name", AT_HAND)
def test_every_set_of_scikit_learn_opens(name):
    data = from_sklearn(name)
    theirs = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    assert data.frame[list(theirs.data.columns)].equals(theirs.data)
    assert f"load_{name}()" in data.description
    if name != "linnerud":  # has three responses
        assert list(data.X.columns) == list(theirs.feature_names)
        assert len(data.y) == len(theirs.target)


def test_classes_have_their_names():
    data = from_sklearn("iris")
    assert data.frame["target"].unique().tolist() == ["setosa", "versicolor", "virginica"]
    assert data.suggestion.expert == "multinomial"
    assert data.moe().y.nunique() == 3


def test_digits_stay_numbers_and_are_classes():
    data = from_sklearn("digits")
    assert sorted(data.frame["target"].unique()) == list(range(10))
    assert data.suggestion.expert == "multinomial"


def test_a_continuous_response_has_gaussian_experts():
    assert from_sklearn("diabetes").suggestion.expert == "gaussian"


def test_several_responses_leave_the_choice():
    with pytest.raises(InputError, match="Name it in a formula"):
        from_sklearn("linnerud").moe()


def test_options_go_to_the_function_of_scikit_learn():
    assert from_sklearn("diabetes", scaled=False).frame["age"].between(19, 79).all()
    with pytest.raises(InputError, match=r"from_sklearn\('diabetes'\): .*Its options are \['scaled'\]"):
        from_sklearn("diabetes", scale=False)


def test_columns_that_are_no_words_stand_in_backticks():
    data = from_sklearn("iris")
    model = data.moe("`petal width (cm)` ~ `petal length (cm)`")
    assert model.X.columns.tolist() == ["petal length (cm)"]


def test_without_a_network_the_error_says_what_to_do(monkeypatch):
    def fetch_california_housing(*, as_frame=False):
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_california_housing", fetch_california_housing)
    with pytest.raises(InputError, match=r"could not fetch 'california_housing'.*connect to the internet"):
        from_sklearn("california_housing")


def test_fetched_regressions_have_their_numbers(monkeypatch):
    """Made up like scikit-learn's, whose response is a float called by its one target name."""
    import pandas as pd
    from sklearn.utils import Bunch

    rows = pd.DataFrame({"MedInc": [1.0, 2.0], "MedHouseVal": [3.0, 4.5]})

    def fetch_california_housing(*, as_frame=False):
        names = {"feature_names": ["MedInc"], "target_names": ["MedHouseVal"]}
        return Bunch(
            frame=rows, data=rows[["MedInc"]], target=rows["MedHouseVal"], DESCR=".. _label:\n\nTitle", **names
        )

    monkeypatch.setattr(sklearn.datasets, "fetch_california_housing", fetch_california_housing)
    data = from_sklearn("california_housing")
    assert (data.title, data.suggestion.formula) == ("Title", "MedHouseVal ~ MedInc")
    assert data.suggestion.expert == "gaussian"


@pytest.mark.parametrize("name", ["irs", "openml", "files"])
def test_an_unknown_set_of_scikit_learn(name):
    with pytest.raises(InputError, match=f"scikit-learn has no data set '{name}' that makes a data frame; it has"):
        from_sklearn(name)


# --------------------------------------------------------------------------------------- names in formulas
@pytest.mark.parametrize("name", ["income", "unit price", "class", "a.b", "1960", "__x", "größe", "x'"])
def test_quoted_names_are_one_column(name):
    (term,) = parse(f"y ~ {quoted(name)}").expert.terms
    (factor,) = term
    assert parse(f"y ~ {quoted(name)}").aliases.get(factor.text, factor.text) == name


def test_a_suggestion_may_be_written_by_hand():
    data = from_sklearn("wine")
    results = data.moe("alcohol ~ hue | 1").fit(n_starts=2)
    assert np.isfinite(results.llf)
    assert ms.datasets.Suggestion("y ~ x", n_experts=3).settings["n_experts"] == 3
