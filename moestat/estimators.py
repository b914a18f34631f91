"""Mixtures of experts as scikit-learn estimators.

Behind them is `moestat.fit`; ``results_`` holds what it returns. A thing of scikit-learn's own is the transformer:
``transform`` turns covariates into the gate's weights, one column per expert.

What is known of single rows, an offset or exposures, is no column of X and no setting: methods take it as keywords, as
they take weights, and scikit-learn's metadata routing carries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from moestat.columns import columns_of
from moestat.errors import InputError
from moestat.fitting import fit
from moestat.model import MixtureOfExperts
from moestat.results import Results
from moestat.solvers import Solver
from moestat.typing import AnyArray, FloatArray, IntArray

#: Starts of a fit. Fewer than `moestat.fit` makes: a grid search fits often.
N_STARTS = 10


class _MoEEstimator(TransformerMixin, BaseEstimator):
    """What both estimators share: columns, seeds, and the way to `moestat.fit` and back."""

    #: the response holds class labels
    _of_classes: ClassVar[bool] = False

    objective: str
    results_: Results
    n_features_in_: int
    n_iter_: int
    gate_columns_: IntArray
    expert_columns_: IntArray

    def __init__(
        self,
        n_experts: int = 2,
        *,
        gate: Any = "softmax",
        expert: Any = "gaussian",
        n_starts: int | str | None = N_STARTS,
        random_state: Any = 0,
        bounds: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        solver: Solver | str | None = None,
        gate_features: Any = None,
        expert_features: Any = None,
    ) -> None:
        self.n_experts = n_experts
        self.gate = gate
        self.expert = expert
        self.n_starts = n_starts
        self.random_state = random_state
        self.bounds = bounds
        self.fixed = fixed
        self.solver = solver
        self.gate_features = gate_features
        self.expert_features = expert_features

    # ------------------------------------------------------------------------------- fit
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None, exposure: Any = None) -> Self:
        """Fit by maximum likelihood, or by least squares where the objective says so.

        Parameters
        ----------
        X : array-like (n, d)
        y : array-like (n,), or (n, m) for an expert of several responses
        sample_weight : array-like (n,), optional
            Frequencies: a row of weight 2 counts as two rows, a row of weight 0 as none.
        offset, exposure : array-like (n,), optional
            Known terms of the experts' linear predictors. The logarithm of an exposure joins the offset; for a binomial
            expert exposures are numbers of trials.

        Returns
        -------
        self

        Raises
        ------
        InputError
            When the expert has no place for an offset or exposures, or the data break another rule; the message names
            it.

        Warns
        -----
        ConvergenceWarning
            When the solution is not a strict maximum; see `moestat.fit`.
        """
        model = self._model()
        self._check_expert(model)
        rows, response = self._with_response(X, y, ensure_min_samples=model.n_experts)
        self._select_columns(X)
        covariates, gate = self._parts(rows)
        self.results_ = fit(
            model,
            covariates,
            _named(response, y),
            gate,
            sample_weight,
            offset=offset,
            exposure=exposure,
            n_starts=self.n_starts,
            seed=_seed(self.random_state),
            bounds=self.bounds,
            solver=self.solver,
            objective=getattr(self, "objective", "likelihood"),
        )
        self.n_iter_ = max(1, len(self.results_.trace) - 1)
        return self

    def _model(self) -> MixtureOfExperts:
        return MixtureOfExperts(gate=self.gate, expert=self.expert, n_experts=self.n_experts, fixed=self.fixed)

    def _check_expert(self, model: MixtureOfExperts) -> None:
        """Refuse experts for the other kind of response."""
        if model.expert.categorical == self._of_classes:
            return
        mine, other = ("class labels", "a numeric response") if self._of_classes else ("a numeric response", "classes")
        example, door = ("multinomial", "MoERegressor") if self._of_classes else ("gaussian", "MoEClassifier")
        raise InputError(
            f"expert must be one for {mine}, such as {example!r}; got {self.expert!r}. For {other} use {door}."
        )

    def _with_response(self, X: Any, y: Any, **rules: Any) -> tuple[FloatArray, AnyArray]:
        """Covariates and response as arrays that scikit-learn has checked."""
        rows, response = validate_data(self, X, y, dtype=np.float64, **rules)
        return rows, response

    def _select_columns(self, X: Any) -> None:
        names, count = getattr(self, "feature_names_in_", None), self.n_features_in_
        for part in ("gate", "expert"):
            argument = f"{part}_features"
            found = columns_of(argument, getattr(self, argument), X, None if names is None else names.tolist(), count)
            setattr(self, f"{part}_columns_", np.array(found, dtype=np.intp))

    def _parts(self, rows: FloatArray) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Covariates of the experts and of the gate under their names; the latter None when they are the same."""
        names = getattr(self, "feature_names_in_", [f"x{i + 1}" for i in range(self.n_features_in_)])
        table = pd.DataFrame(rows, columns=names)
        covariates = table.iloc[:, self.expert_columns_]
        same = np.array_equal(self.gate_columns_, self.expert_columns_)
        return covariates, None if same else table.iloc[:, self.gate_columns_]

    def _known_parts(self, X: Any) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Covariates of new rows, of the experts and of the gate."""
        return self._parts(validate_data(self, X, reset=False, dtype=np.float64))

    # ------------------------------------------------------------------------------- gate and experts
    def transform(self, X: Any) -> FloatArray:
        """Weights of the gate (n, K): how likely each expert is, given the covariates."""
        check_is_fitted(self)
        return self.results_.gate_weights(*self._known_parts(X))

    def get_feature_names_out(self, input_features: Any = None) -> AnyArray:
        """Names of the columns of `transform`: expert1, expert2, ...

        Parameters
        ----------
        input_features : array-like of str, optional
            Has no influence; names that are not those of the fit are refused.
        """
        check_is_fitted(self)
        if input_features is not None:
            self._check_names(list(input_features))
        return np.array([f"expert{k + 1}" for k in range(self.results_.model.n_experts)], dtype=object)

    def _check_names(self, names: list[Any]) -> None:
        known = getattr(self, "feature_names_in_", None)
        if known is not None and names != known.tolist():
            raise InputError(f"input_features is not equal to feature_names_in_, {known.tolist()}; got {names}.")
        if len(names) != self.n_features_in_:
            raise InputError(f"input_features should have length equal to {self.n_features_in_}; got {len(names)}.")

    def responsibilities(self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None) -> Any:
        """Posterior probability of each expert given covariates and response, (n, K).

        They come as `transform` gives the weights of the gate: as an array, or as `set_output` says.
        """
        check_is_fitted(self)
        scored = self._scored_parts(X, y)
        values = self.results_.responsibilities(*scored, offset=offset, exposure=exposure)
        return _laid_out_as(self.transform(X), values)

    def log_density(self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """log p(y | x) of every row, (n,); its mean over new rows is a proper score of the whole density."""
        check_is_fitted(self)
        return self.results_.log_density(*self._scored_parts(X, y), offset=offset, exposure=exposure)

    def _scored_parts(self, X: Any, y: Any) -> tuple[pd.DataFrame, AnyArray, pd.DataFrame | None]:
        """New rows as results read them: the experts' covariates, the response, the gate's covariates."""
        rows, response = self._with_response(X, y, reset=False)
        covariates, gate = self._parts(rows)
        return covariates, response, gate

    def sample(self, X: Any, random_state: Any = None, *, offset: Any = None, exposure: Any = None) -> AnyArray:
        """Draw one response per row of X from the fitted model, (n,) or (n, m).

        Parameters
        ----------
        X : array-like (n, d)
        random_state : int, RandomState instance, Generator or None
        offset, exposure : array-like (n,), optional
            Known terms of these rows; zero and one when left out.
        """
        check_is_fitted(self)
        seed = _seed(random_state)
        return self.results_.sample(*self._known_parts(X), seed=seed, offset=offset, exposure=exposure)

    def _means(self, X: Any, offset: Any, exposure: Any) -> FloatArray:
        """Conditional means of new rows, or their class probabilities."""
        check_is_fitted(self)
        return self.results_.predict(*self._known_parts(X), offset=offset, exposure=exposure)


class MoERegressor(RegressorMixin, _MoEEstimator):
    """Mixture of regressions under a gate; predicts the conditional mean, transforms to the gate's weights.

    Parameters
    ----------
    n_experts : int
        Number of experts K.
    gate : str or Gate
        The gate, or its name.
    expert : str, Expert or tuple of them
        One family for all experts, or a tuple with one family per expert; for a numeric response.
    n_starts : int, "auto" or None
        Number of starting points; see `moestat.fit`.
    random_state : int, RandomState instance, Generator or None
        Seed of the starting points. An integer makes every fit the same fit; None draws another seed each time.
    bounds : mapping, optional
        A box on whole fields, such as ``{"gate.slopes": 50.0}``; see `moestat.fit`.
    fixed : mapping, optional
        Fields held at values, such as ``{"gate.slopes": 0.0}``; see `moestat.MixtureOfExperts`.
    solver : Solver or str, optional
        A solver of `moestat.solvers`, or its name, instead of the default chain.
    gate_features, expert_features : selector, optional
        The columns of X that the gate and the experts use; all of them when left out. Names, positions, slices of
        either, a mask, or a function of X that gives one of these, such as ``make_column_selector(pattern="^z")``.
        An empty list makes the gate constant, or leaves the experts their intercepts.
    objective : {"likelihood", "least_squares"}
        What to maximise, or minimise; see `moestat.fit`. A least squares fit has no densities and draws nothing.

    Attributes
    ----------
    results_ : Results
        Everything about the fit: ``results_.summary()``, ``results_.certificate``, standard errors. It holds the rows,
        so a pickled estimator does as well; ``results_.save`` writes a file without them.
    n_iter_ : int
        Iterations of the winning start.
    gate_columns_, expert_columns_ : ndarray of int
        Positions of the columns that the gate and the experts use.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when the columns of X have names.

    Examples
    --------
    >>> import moestat as ms
    >>> data = ms.datasets.load("ethanol")
    >>> ms.MoERegressor(n_experts=2).fit(data.X, data.y).predict(data.X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        n_experts: int = 2,
        *,
        gate: Any = "softmax",
        expert: Any = "gaussian",
        n_starts: int | str | None = N_STARTS,
        random_state: Any = 0,
        bounds: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        solver: Solver | str | None = None,
        gate_features: Any = None,
        expert_features: Any = None,
        objective: str = "likelihood",
    ) -> None:
        super().__init__(
            n_experts,
            gate=gate,
            expert=expert,
            n_starts=n_starts,
            random_state=random_state,
            bounds=bounds,
            fixed=fixed,
            solver=solver,
            gate_features=gate_features,
            expert_features=expert_features,
        )
        self.objective = objective

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        with suppress(InputError):  # settings are checked by fit
            tags.target_tags.multi_output = self._model().expert.several_responses
        return tags

    def _with_response(self, X: Any, y: Any, **rules: Any) -> tuple[FloatArray, AnyArray]:
        several = self._model().expert.several_responses
        rows, response = super()._with_response(X, y, y_numeric=True, multi_output=several, **rules)
        return rows, response

    def predict(self, X: Any, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """Conditional mean of every row of X, (n,) or (n, m).

        Parameters
        ----------
        X : array-like (n, d)
        offset, exposure : array-like (n,), optional
            Known terms of these rows; zero and one when left out.
        """
        return self._means(X, offset, exposure)

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None, exposure: Any = None) -> float:
        """R2 of the conditional mean; `log_density` judges the whole distribution."""
        predicted = self.predict(X, offset=offset, exposure=exposure)
        return float(r2_score(y, predicted, sample_weight=sample_weight))


class MoEClassifier(ClassifierMixin, _MoEEstimator):
    """Mixture of classifiers under a gate; predicts classes, transforms to the gate's weights.

    Parameters
    ----------
    n_experts : int
        Number of experts K.
    gate : str or Gate
        The gate, or its name.
    expert : str, Expert or tuple of them
        One family for all experts, or a tuple with one family per expert; for class labels.
    n_starts : int, "auto" or None
        Number of starting points; see `moestat.fit`.
    random_state : int, RandomState instance, Generator or None
        Seed of the starting points. An integer makes every fit the same fit; None draws another seed each time.
    bounds : mapping, optional
        A box on whole fields, such as ``{"gate.slopes": 50.0}``; see `moestat.fit`.
    fixed : mapping, optional
        Fields held at values, such as ``{"gate.slopes": 0.0}``; see `moestat.MixtureOfExperts`.
    solver : Solver or str, optional
        A solver of `moestat.solvers`, or its name, instead of the default chain.
    gate_features, expert_features : selector, optional
        The columns of X that the gate and the experts use; all of them when left out. Names, positions, slices of
        either, a mask, or a function of X that gives one of these, such as ``make_column_selector(pattern="^z")``.
        An empty list makes the gate constant, or leaves the experts their intercepts.

    Attributes
    ----------
    results_ : Results
        Everything about the fit: ``results_.summary()``, ``results_.certificate``, standard errors. It holds the rows,
        so a pickled estimator does as well; ``results_.save`` writes a file without them.
    n_iter_ : int
        Iterations of the winning start.
    gate_columns_, expert_columns_ : ndarray of int
        Positions of the columns that the gate and the experts use.
    classes_ : ndarray (C,)
        Labels of the rows of positive weight, sorted.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when the columns of X have names.

    Examples
    --------
    >>> import moestat as ms
    >>> data = ms.datasets.load("anes96")
    >>> ms.MoEClassifier(n_experts=1).fit(data.X, data.y).classes_.tolist()
    ['Democrat', 'Independent', 'Republican']
    """

    _of_classes: ClassVar[bool] = True

    classes_: AnyArray

    def __init__(
        self,
        n_experts: int = 2,
        *,
        gate: Any = "softmax",
        expert: Any = "multinomial",
        n_starts: int | str | None = N_STARTS,
        random_state: Any = 0,
        bounds: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        solver: Solver | str | None = None,
        gate_features: Any = None,
        expert_features: Any = None,
    ) -> None:
        super().__init__(
            n_experts,
            gate=gate,
            expert=expert,
            n_starts=n_starts,
            random_state=random_state,
            bounds=bounds,
            fixed=fixed,
            solver=solver,
            gate_features=gate_features,
            expert_features=expert_features,
        )

    def _with_response(self, X: Any, y: Any, **rules: Any) -> tuple[FloatArray, AnyArray]:
        rows, labels = super()._with_response(X, y, **rules)
        check_classification_targets(labels)
        return rows, labels

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None, exposure: Any = None) -> Self:
        """Fit by maximum likelihood; see `MoERegressor.fit`.

        The multinomial expert has no place for an offset or exposures, and says so; one of your own may have.
        """
        super().fit(X, y, sample_weight, offset=offset, exposure=exposure)
        assert self.results_.schema.classes is not None
        self.classes_ = np.asarray(self.results_.schema.classes)
        return self

    def predict_proba(self, X: Any, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """Probability of each class (n, C), in the order of ``classes_``."""
        return self._means(X, offset, exposure)

    def predict_log_proba(self, X: Any, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """Logarithm of `predict_proba`; minus infinity where that rounds to zero, as `log_density` does not."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, offset=offset, exposure=exposure))

    def predict(self, X: Any, *, offset: Any = None, exposure: Any = None) -> AnyArray:
        """The most probable class of every row of X, (n,)."""
        code = self.predict_proba(X, offset=offset, exposure=exposure).argmax(axis=1)
        return np.asarray(self.classes_[code])

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None, exposure: Any = None) -> float:
        """Share of rows whose class is predicted; `log_density` judges the probabilities."""
        predicted = self.predict(X, offset=offset, exposure=exposure)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))


def _laid_out_as(weights: Any, values: FloatArray) -> Any:
    """The values in the container of the weights: an array, or a data frame with their rows and columns."""
    if isinstance(weights, np.ndarray):
        return values
    if isinstance(weights, pd.DataFrame):
        return pd.DataFrame(values, index=weights.index, columns=weights.columns)
    return type(weights)(values, schema=list(weights.columns))  # polars


def _named(response: AnyArray, y: Any) -> pd.Series[Any] | pd.DataFrame:
    """A checked response under the names that it came with."""
    if response.ndim == 1:
        return pd.Series(response, name=getattr(y, "name", None))
    return pd.DataFrame(response, columns=getattr(y, "columns", None))


def _seed(random_state: Any) -> int:
    """A seed of ours; None and generators, of either kind, give another one at every call."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(np.iinfo(np.int32).max))
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


__all__ = ["MoEClassifier", "MoERegressor"]
