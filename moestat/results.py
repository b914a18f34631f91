"""What a fit returns."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.special import ndtr, ndtri

from moestat import storage
from moestat.certificate import Certificate, Status
from moestat.coordinates import Coordinates
from moestat.data import Block, BlockSource, Schema, over_blocks
from moestat.description import describe_model, describe_schema
from moestat.directions import fine_units
from moestat.errors import InputError, NotIdentifiedError, RankDeficientWarning
from moestat.gates.reading import Reading, read
from moestat.inference.check import CheckReport, check
from moestat.inference.covariance import KINDS, Information, Kind
from moestat.inference.prediction import (
    Estimated,
    Prediction,
    delta_errors,
    expert_means_jacobian,
    gate_weights_jacobian,
    mean_jacobian,
)
from moestat.inference.surfaces import switching_surfaces
from moestat.model import MixtureOfExperts, MoEParams, draw, log_densities, mixture_mean
from moestat.params import Layout
from moestat.passes import SecondOrder
from moestat.query import Query, query_block
from moestat.solvers import Problem, TraceRow
from moestat.terms import Terms, Tile
from moestat.typing import AnyArray, BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from statsmodels.iolib.summary import Summary

    from moestat.frames.design import FrameDesign


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """A fitted mixture of experts: estimates, their uncertainty, and the certificate of the optimum.

    Made by `moestat.fit`; do not construct it. Labelled values are pandas objects indexed by parameter
    names such as ``gate[1].x1`` and ``expert[2].variance``; experts are numbered from 1, by decreasing
    mass, and the last one is the gate's reference.

    Attributes
    ----------
    model : MixtureOfExperts
    schema : Schema
        Names of the columns, classes of a categorical response.
    params : MoEParams
        Estimates in the user's units, as records.
    certificate : Certificate
        What kind of optimum this is, and the evidence.
    llf : float
        Log-likelihood: a sum over rows of weight times log density, in nats. Of y given the covariates; with a joint
        gate (``certificate.joint``) of the gate's covariates and y together, and so are aic, bic and icl.
    nobs : float
        Number of rows: the sum of the sample weights.
    design : FrameDesign or None
        How a formula made covariates of columns. With it, methods that take new rows read data frames with the
        columns of the formula: ``predict(frame)``, ``responsibilities(frame)``.
    frame : DataFrame or None
        The columns that a formula used, for the rows of the fit; figures show them. Not saved.
    known : tuple of str
        Which of ``"offset"`` and ``"exposure"`` the rows of the fit had; predictions of rows without take 0 and 1.
    """

    model: MixtureOfExperts
    schema: Schema
    coordinates: Coordinates
    theta: FloatArray = field(repr=False)
    certificate: Certificate
    entropy: float
    _hessian: FloatArray
    _outer: FloatArray | None
    _starts: list[dict[str, Any]]
    _trace: tuple[TraceRow, ...]
    source: BlockSource | None = None
    design: FrameDesign | None = None
    frame: pd.DataFrame | None = None
    known: tuple[str, ...] = ()

    #: there is a law of the response: densities, responsibilities and draws
    has_density: ClassVar[bool] = True
    #: what was fitted, by its name in `moestat.fit`
    objective: ClassVar[str] = "likelihood"
    #: the covariances of the estimates there are; the first is meant where none is named
    kinds: ClassVar[tuple[str, ...]] = tuple(KINDS)
    _covariances: ClassVar[Mapping[str, Kind]] = KINDS

    def __post_init__(self) -> None:
        for array in (self.theta, self._hessian):
            array.setflags(write=False)

    @classmethod
    def of(
        cls,
        model: MixtureOfExperts,
        problem: Problem,
        theta: FloatArray,
        sums: SecondOrder,
        certificate: Certificate,
        starts: list[dict[str, Any]],
        trace: tuple[TraceRow, ...],
    ) -> Self:
        """Results of a finished fit."""
        source = problem.passes.source
        return cls(
            model=model,
            schema=source.schema,
            coordinates=source.coordinates,
            theta=theta,
            certificate=certificate,
            entropy=problem.passes.shares(theta).entropy,
            _hessian=sums.hessian,
            _outer=None,
            _starts=starts,
            _trace=trace,
            source=source,
            known=(*(["offset"] if source.uses_offset else []), *(["exposure"] if source.uses_exposure else [])),
            **cls._facts(problem, theta),
        )

    @classmethod
    def _facts(cls, problem: Problem, theta: FloatArray) -> dict[str, Any]:
        """Further fields of this kind of fit."""
        return {}

    def __repr__(self) -> str:
        gate, expert = self.model.gate.name, self.model.expert.name
        return (
            f"{type(self).__name__}({gate} gate, {self.model.n_experts} x {expert}, "
            f"{self._level}, {self.certificate.measure.kind(self.certificate.status)})"
        )

    @property
    def _level(self) -> str:
        return f"{'joint ' if self.certificate.joint else ''}llf={self.llf:.6g}"

    @property
    def headline(self) -> dict[str, str]:
        """The figures at the head of the summary, by name."""
        joint = self.certificate.joint
        return {
            "Joint log-likelihood:" if joint else "Log-likelihood:": f"{self.llf:.6g}",
            "AIC:": f"{self.aic:.6g}",
            "BIC:": f"{self.bic:.6g}",
            "ICL:": f"{self.icl:.6g}",
        }

    @property
    def in_short(self) -> str:
        """How well the model fits, for a line of text."""
        return f"log-likelihood {self.llf:.8g}, BIC {self.bic:.7g}"

    @property
    def criteria(self) -> dict[str, float]:
        """How well the model fits, and what it costs, by name."""
        return {"loglik": self.llf, "aic": self.aic, "bic": self.bic, "icl": self.icl}

    # ------------------------------------------------------------------------------- estimates
    @cached_property
    def params(self) -> MoEParams:
        """Estimates in the user's units."""
        return self.model.from_theta(self.theta, self.schema, self.coordinates)

    @cached_property
    def all_names(self) -> list[str]:
        """Names of all parameters, held and reference ones included."""
        return self.model.names(self.schema)

    @property
    def names(self) -> list[str]:
        """Names of the estimated parameters: those with a standard error."""
        return [name for name, kept in zip(self.all_names, self._information.estimated, strict=True) if kept]

    @property
    def estimates(self) -> pd.Series[float]:
        """Estimated parameters in the user's units, by name."""
        return self._series(self._natural)[self._information.estimated]

    def gate_reading(self) -> Reading:
        """The gate's estimates on the ray of its temperature: raw, as the ratio beta / tau, and at length one.

        Raises
        ------
        InputError
            Where the gate has no such ray.
        """
        layout = self.model.layout(self.schema).part("gate")
        assert isinstance(layout, Layout)
        return read(self.model.gate, layout, layout.pack(self.params.gate))

    @cached_property
    def _natural(self) -> FloatArray:
        layout = self._terms.layout
        return layout.natural(layout.pack(self.params))

    @cached_property
    def _terms(self) -> Terms:
        return self.model.terms(self.schema, self.coordinates)

    @cached_property
    def pinned(self) -> BoolArray:
        """Parameters that only fix the representative among equal densities (the reference's gate)."""
        out = np.zeros(self.theta.size, dtype=bool)
        out[self._information.pinned] = True
        return out

    @cached_property
    def held(self) -> pd.Series[bool]:
        """Whether each parameter is held by the model."""
        return self._series(~self.model.holding(self.schema, self.coordinates).free)

    @cached_property
    def positive(self) -> pd.Series[bool]:
        """Whether each parameter is positive by definition (variances)."""
        return self._series(self._terms.layout.positive)

    def _series(self, values: AnyArray) -> pd.Series[Any]:
        import pandas as pd

        return pd.Series(values, index=self.all_names)

    # ------------------------------------------------------------------------------- likelihood
    @property
    def llf(self) -> float:
        """Log-likelihood (a sum, in nats, units of the raw response)."""
        return self.certificate.loglik

    @property
    def nobs(self) -> float:
        """Sum of the sample weights."""
        return self.certificate.n_rows

    @property
    def df_model(self) -> int:
        """Number of identified parameters: the rank of the information."""
        return self.certificate.optimum.n_identified

    @property
    def df_resid(self) -> float:
        """nobs - df_model."""
        return self.nobs - self.df_model

    @property
    def aic(self) -> float:
        """-2 llf + 2 df_model; smaller is better."""
        return -2 * self.llf + 2 * self.df_model

    @property
    def bic(self) -> float:
        """-2 llf + log(nobs) df_model; smaller is better."""
        return float(-2 * self.llf + np.log(self.nobs) * self.df_model)

    @property
    def icl(self) -> float:
        """bic + 2 entropy of the responsibilities (Biernacki, Celeux and Govaert 2000); smaller is better."""
        return self.bic + 2 * self.entropy

    @property
    def converged(self) -> bool:
        """Whether the score is zero, as the certificate sees it."""
        return self.certificate.status is not Status.NOT_CONVERGED

    # ------------------------------------------------------------------------------- uncertainty
    @cached_property
    def _information(self) -> Information:
        return Information(
            self.model,
            self.schema,
            self.coordinates,
            self.theta,
            self._hessian,
            self._outer_products,
            self.certificate,
            self._slopes,
            self._covariances,
        )

    @property
    def _slopes(self) -> FloatArray | None:
        """The matrix of the classical covariance, where there is one."""
        return None

    @cached_property
    def _outer_products(self) -> FloatArray:
        if self._outer is not None:
            return self._outer
        assert self.source is not None
        return self.model.passes(self.source).outer_products(self.theta).matrix

    def cov_params(self, kind: str | None = None, *, allow_singular: bool = False) -> pd.DataFrame:
        """Covariance of the estimated parameters, in the user's units.

        Parameters
        ----------
        kind : str, optional
            One of `kinds`: ``"observed"``, ``"opg"`` or ``"sandwich"``, the inverse of the observed information, of
            the outer product of scores, or the sandwich of both.
        allow_singular : bool
            Give NaN for parameters that the data do not determine instead of raising.

        Raises
        ------
        NotIdentifiedError
            When the information is singular; the message names the directions.
        """
        import pandas as pd

        kept = self._information.estimated
        matrix = self._information.covariance(kind, allow_singular)[np.ix_(kept, kept)]
        return pd.DataFrame(matrix, index=self.names, columns=self.names)

    def standard_errors(self, kind: str | None = None, *, allow_singular: bool = False) -> pd.Series[float]:
        """Standard errors of the estimated parameters by the chosen covariance, in the user's units."""
        import pandas as pd

        errors = self._information.standard_errors(kind, allow_singular)[self._information.estimated]
        return pd.Series(errors, index=self.names)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by the first of `kinds`, of a likelihood the observed information."""
        return self.standard_errors()

    @property
    def tvalues(self) -> pd.Series[float]:
        """estimates / bse."""
        return self.estimates / self.bse

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values of the normal approximation (for variances they test nothing of interest)."""
        return 2 * self.tvalues.abs().map(lambda z: ndtr(-z))

    def conf_int(self, alpha: float = 0.05, *, kind: str | None = None, allow_singular: bool = False) -> pd.DataFrame:
        """Confidence limits at level 1 - alpha; those of positive parameters are made on the log scale.

        Returns
        -------
        DataFrame with columns 0 (lower) and 1 (upper), indexed by name
        """
        import pandas as pd

        if not isinstance(alpha, float | int) or not 0 < alpha < 1:
            raise InputError(f"alpha must lie between 0 and 1; got {alpha!r}.")
        estimate = self.estimates.to_numpy()
        width = ndtri(1 - alpha / 2) * self.standard_errors(kind, allow_singular=allow_singular).to_numpy()
        factor = np.exp(np.where(self.positive[self.names], width / np.abs(estimate), 0.0))
        positive = self.positive[self.names].to_numpy()
        lower = np.where(positive, estimate / factor, estimate - width)
        upper = np.where(positive, estimate * factor, estimate + width)
        return pd.DataFrame({0: lower, 1: upper}, index=self.names)

    def _tests(self, kind: str | None) -> Any:
        """statsmodels' linear tests on the estimates and their covariance."""
        from types import SimpleNamespace

        from statsmodels.base.model import LikelihoodModelResults

        names = self.names
        stub = SimpleNamespace(
            exog_names=names,
            endog_names=", ".join(self.schema.responses),
            data=SimpleNamespace(cov_names=names, xnames=names, param_names=names, row_labels=None),
        )
        tests = LikelihoodModelResults(stub, self.estimates.to_numpy(), self.cov_params(kind).to_numpy(), scale=1.0)
        tests.df_resid, tests.use_t, tests.cov_type = np.inf, False, self._information.kind_named(kind)
        return tests

    def t_test(self, r_matrix: Any, *, kind: str | None = None) -> Any:
        """Test linear hypotheses one by one, such as ``"expert[1].x1 = expert[2].x1"`` (normal reference).

        Returns
        -------
        statsmodels ContrastResults
        """
        return self._hypotheses(self._tests(kind).t_test, r_matrix)

    def wald_test(self, r_matrix: Any, *, kind: str | None = None) -> Any:
        """Test linear hypotheses together by a chi-squared Wald statistic.

        Returns
        -------
        statsmodels ContrastResults
        """
        return self._hypotheses(partial(self._tests(kind).wald_test, scalar=True), r_matrix)

    def _hypotheses(self, test: Any, r_matrix: Any) -> Any:
        """Run a test of statsmodels; what it cannot read becomes an error of ours, with the known names."""
        from patsy import PatsyError

        try:
            return test(r_matrix)
        except (PatsyError, ValueError) as error:
            raise InputError(f"r_matrix must be hypotheses about {self.names}; got {r_matrix!r} ({error}).") from error

    def _table(self, kind: str | None, alpha: float) -> tuple[pd.DataFrame, str]:
        """Coefficients with errors, tests and limits for all parameters, and why some are missing."""
        reason = ""
        try:
            self._information.check(kind)
        except NotIdentifiedError as error:
            reason = str(error).split(" Fit fewer", maxsplit=1)[0]
        errors = self.standard_errors(kind, allow_singular=True)
        limits = self.conf_int(alpha, kind=kind, allow_singular=True)
        table = self._series(self._natural).to_frame("coef")
        table["std err"] = errors.reindex(table.index)
        table["z"] = table["coef"] / table["std err"]
        table["P>|z|"] = 2 * ndtr(-table["z"].abs())
        return table.join(limits.rename(columns={0: "lower", 1: "upper"})), reason

    def table(self, alpha: float = 0.05, *, kind: str | None = None) -> pd.DataFrame:
        """All parameters with what the summary prints of them, at full precision.

        Parameters
        ----------
        alpha : float
            One minus the level of the confidence limits.
        kind : str, optional
            Covariance of the standard errors, one of `kinds`; the first when left out.

        Returns
        -------
        DataFrame indexed by name, with columns estimate, std_err, z, p, lower, upper and role
            The role is ``estimated``, ``held`` (by the model) or ``reference`` (at a constant, as the gate's last
            expert is); only estimated ones have errors, and those that the data do not determine have NaN.
        """
        import pandas as pd

        numbers, _ = self._table(kind, alpha)
        out = numbers.set_axis(["estimate", "std_err", "z", "p", "lower", "upper"], axis="columns")
        role = np.where(self.held, "held", np.where(self.pinned, "reference", "estimated"))
        return out.assign(role=pd.Categorical(role, ["estimated", "held", "reference"])).rename_axis("name")

    def summary(self, alpha: float = 0.05, *, kind: str | None = None) -> Summary:
        """Tables of the gate and of every expert, with the certificate beneath.

        Parameters
        ----------
        alpha : float
            One minus the level of the confidence limits.
        kind : str, optional
            Covariance of the standard errors, one of `kinds`; the first when left out.

        Returns
        -------
        statsmodels Summary, with ``as_text``, ``as_html``, ``as_latex``, ``as_csv``
        """
        from moestat.inference.summary import summarise

        return summarise(self, alpha, kind)

    # ------------------------------------------------------------------------------- evidence
    @property
    def starts(self) -> pd.DataFrame:
        """What became of every start: family, log-likelihoods after the short run and at its end, kind, solution."""
        import pandas as pd

        return pd.DataFrame(self._starts)

    @property
    def trace(self) -> pd.DataFrame:
        """Iterations of the winning start: method, log-likelihood (working units), gradient per row, objective.

        The objective is what the method raises: the log-likelihood, but for classification EM.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "method": [row.method for row in self._trace],
                "loglik": [row.loglik for row in self._trace],
                "gradient": [row.gradient for row in self._trace],
                "objective": [row.loglik if row.objective is None else row.objective for row in self._trace],
            }
        )

    def check(self) -> CheckReport:
        """Recompute the score by finite differences, and check the gradient and the monotone trace."""
        if self.source is None:
            raise InputError("check() needs the rows, which a loaded model does not hold; fit again.")
        movable = self.certificate.optimum.movable
        unit = fine_units(self._hessian, self.nobs)
        held = self.certificate.optimum.held
        report = check(self.model.passes(self.source), self.theta, movable, unit, self._trace, held)
        return replace(report, progress=self.certificate.measure.progress)

    def switching_surfaces(self) -> pd.DataFrame:
        """Where rows exchange one expert for another, of a gate that leaves experts out at a jump.

        Returns
        -------
        DataFrame
            One row for each pair of experts ``"1 | 2"`` that some rows of the fit lie between: as they are the pair
            that would change places first. With top-K round a softmax gate the columns ``const`` and those of the
            gate's covariates are the surface const + b'x = 0 in the user's units, with b of length one and positive
            where the first expert is ahead. ``nearest_first`` and ``nearest_second`` are the distances of the nearest
            such rows to it, on the side of the first and of the second expert; infinite where there is none. The
            surface is known only to lie between. With other gates there are no coefficients, and distances are
            margins in logits.

        Raises
        ------
        InputError
            For a gate without jumps, and for a loaded model, which holds no rows.
        """
        return switching_surfaces(self._terms, self.theta, self.params.gate, self._training())

    # ------------------------------------------------------------------------------- new rows
    def _block(
        self, X: Any, Z: Any, y: Any = None, offset: Any = None, exposure: Any = None, *, scored: bool = False
    ) -> Block:
        """New rows as a block; a data frame of a formula's columns brings all with it. ``scored`` rows need y."""
        if self._reads(X, Z):
            assert self.design is not None
            X, Z, y, offset, exposure = self.design.rows(X, y=y, offset=offset, exposure=exposure, scored=scored)
        if scored and y is None:
            raise InputError("y is needed for responsibilities and densities; gate_weights(X) needs no response.")
        block = query_block(self.schema, self.coordinates, X, Z, y=y, offset=offset, exposure=exposure)
        # one and zero change nothing
        exposed = block.exposure is not None and bool((block.exposure != 1.0).any())
        shifted = offset is not None and bool(np.any(offset))
        if y is None:
            self.model.expert.check_known(offset=shifted, exposure=exposed)
        else:
            self.model.expert.check_beside(Query(self.schema, self.coordinates, block, shifted, exposed))
        return block

    def _reads(self, X: Any, Z: Any) -> bool:
        """Whether X is a table of columns that the formula makes covariates of."""
        if self.design is None or Z is not None:
            return False
        return self.design.reads(X, self.schema.features, self.schema.gate_features)

    def _tile(self, block: Block) -> Tile:
        return next(self._terms.tiles(self.theta, [block]))

    def _training(self) -> BlockSource:
        if self.source is None:
            raise InputError("a loaded model holds no rows: pass X (and y).")
        return self.source

    def _over_rows(self, pick: Any) -> FloatArray:
        """One matrix (n, K) over the training rows; rows of weight 0 were dropped."""

        def picked(block: Block) -> FloatArray:
            rows: FloatArray = pick(self._tile(block))[:, block.weight > 0].T
            return rows

        return np.ascontiguousarray(np.concatenate(list(over_blocks(picked, self._training()))))

    def predict(self, X: Any = None, Z: Any = None, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """Conditional mean sum_k pi_k mu_k of new rows, or of the training rows.

        Parameters
        ----------
        X : array-like (n, d), optional
            Or a data frame with the columns of the formula, when the fit had one.
        Z : array-like (n, e), optional
            The gate's covariates when the fit had its own.
        offset, exposure : array-like (n,), optional
            Known terms of the new rows; columns of a formula's frame are read from it.

        Returns
        -------
        ndarray (n,), (n, m) for several responses, or class probabilities (n, C) in the order of ``schema.classes``
        """
        if X is None and Z is None:
            # block by block: a source may use one buffer for all
            parts = over_blocks(
                lambda block: mixture_mean(self._terms, self.theta, block)[block.weight > 0], self._training()
            )
            return self._raw_response(np.concatenate(list(parts)))
        return self._raw_response(
            mixture_mean(self._terms, self.theta, self._block(X, Z, offset=offset, exposure=exposure))
        )

    def expert_means(self, X: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """Mean of each expert at new rows: (n, K), or (n, K, C) class probabilities or responses."""
        block = self._block(X, Z, offset=offset, exposure=exposure)
        means = self._terms.expert.mean(self.theta[self._terms.expert_columns], block)
        if means.ndim == 2:
            return self._raw_response(np.ascontiguousarray(means.T))
        return self._raw_response(np.ascontiguousarray(np.moveaxis(means, 2, 0)))

    def _raw_response(self, values: FloatArray) -> FloatArray:
        if self.schema.classes is not None:
            return values
        return self.coordinates.y.restore(values)

    def gate_weights(self, X: Any = None, Z: Any = None) -> FloatArray:
        """Gate weights pi_k of new rows, or of the training rows, (n, K)."""
        if X is None and Z is None:
            return self._over_rows(lambda tile: self._terms.gate_weights(self.theta, tile.block))
        return np.ascontiguousarray(self._terms.gate_weights(self.theta, self._gate_block(X, Z)).T)

    def _gate_block(self, X: Any, Z: Any) -> Block:
        """New rows of which only the gate's covariates count."""
        if self._reads(X, Z):
            assert self.design is not None
            X, Z = None, self.design.gate_rows(X)
        if X is None:
            X = np.zeros((len(np.asarray(Z)), len(self.schema.features)))
        return self._block(X, Z)

    def expert_load(self, X: Any = None, Z: Any = None) -> pd.DataFrame:
        """How evenly the gate spreads rows over the experts, of new rows or of the training rows.

        Returns
        -------
        DataFrame with a row for every expert (1, ..., K) and one, "cv", for the coefficient of variation over experts
            ``importance`` is the sum of its gate weights over rows, ``load`` the number of rows that select it: those
            in which its weight is not zero, or, under a gate that selects by noisy logits, the sum over rows of the
            probability that it is selected. Training rows count with their sample weights.

        References
        ----------
        Shazeer et al. (2017), Outrageously large neural networks: the sparsely-gated mixture-of-experts layer, sec. 4,
        arXiv 1701.06538.
        """
        import pandas as pd

        new = X is not None or Z is not None
        blocks = [self._gate_block(X, Z)] if new else self._training().blocks()
        local, total = self.theta[self._terms.gate_columns], np.zeros((2, self.model.n_experts))
        for block in blocks:
            value = np.empty((len(local), block.weight.size))
            self._terms.gate.value(local, block, value)
            total[0] += self._terms.gate_weights(self.theta, block) @ block.weight
            total[1] += self._terms.gate.chances(local, block, value) @ block.weight
        table = pd.DataFrame(total.T, columns=["importance", "load"], index=range(1, self.model.n_experts + 1))
        table.loc["cv"] = total.std(axis=1) / total.mean(axis=1)
        return table.rename_axis("expert")

    def responsibilities(
        self, X: Any = None, y: Any = None, Z: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> FloatArray:
        """Posterior probability of each expert given x and y, (n, K), of new or of the training rows.

        Raises
        ------
        InputError
            For responses that no fit could have, such as -1 among counts; so do `log_density` and `density`.
        """
        if X is None and y is None:
            return self._over_rows(lambda tile: tile.R / np.where(tile.block.weight > 0, tile.block.weight, 1.0))
        return np.ascontiguousarray(self._tile(self._block(X, Z, y, offset, exposure, scored=True)).R.T)

    def shares(self, X: Any, y: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """Each expert's share in rows, (n, K): responsibilities where there are any, else gate weights."""
        return self.responsibilities(X, y, Z, offset=offset, exposure=exposure)

    def log_density(
        self, X: Any, y: Any = None, Z: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> FloatArray:
        """log p(y | x) of new rows, in nats and raw units, (n,); conditional also when the fit was a joint one.

        Minus infinity where every expert's density is zero, as that of a known law is outside its support.
        """
        working = log_densities(self._terms, self.theta, self._block(X, Z, y, offset, exposure, scored=True))
        return working - float(np.log(self.coordinates.y.scale).sum())

    def density(self, X: Any, y: Any = None, Z: Any = None, *, offset: Any = None, exposure: Any = None) -> FloatArray:
        """p(y | x) of new rows, (n,)."""
        return np.exp(self.log_density(X, y, Z, offset=offset, exposure=exposure))

    def sample(
        self,
        X: Any,
        Z: Any = None,
        *,
        rng: np.random.Generator | None = None,
        seed: int = 0,
        offset: Any = None,
        exposure: Any = None,
    ) -> AnyArray:
        """Draw one response per row from the fitted model: (n,), class labels for categorical experts."""
        if not isinstance(seed, int | np.integer):
            raise InputError(f"seed must be a whole number; got {seed!r}.")
        generator = np.random.default_rng(seed) if rng is None else rng
        if not isinstance(generator, np.random.Generator):
            raise InputError(f"rng must be a numpy.random.Generator; got {rng!r}. For a number use seed=.")
        drawn = draw(self._terms, self.theta, self._block(X, Z, offset=offset, exposure=exposure), generator)
        if self.schema.classes is not None:
            return np.asarray(self.schema.classes)[drawn.astype(np.int64)]
        return self._raw_response(drawn)

    def get_prediction(
        self, X: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None, kind: str | None = None
    ) -> Prediction:
        """Predicted means with delta-method standard errors; see `Prediction.summary_frame`.

        Raises
        ------
        NotIdentifiedError
            When the information is singular.
        """
        with _an_error_will_say():
            block = self._block(X, Z, offset=offset, exposure=exposure)
        covariance = self._information.working_covariance(mean_jacobian(self._terms, self.theta, block), kind)
        y = None if self.schema.classes is not None else self.coordinates.y
        several = self.schema.responses if len(self.schema.responses) > 1 else None
        labels = several if self.schema.classes is None else self.schema.classes
        return Prediction.of(self._terms, self.theta, covariance, block, y, labels)

    def get_expert_means(
        self, X: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None, kind: str | None = None
    ) -> Estimated:
        """`expert_means` with delta-method standard errors.

        Returns
        -------
        Estimated
            ``value`` and ``se``, (n, K) or (n, K, C); ``limits(alpha)`` are pointwise confidence limits.

        Raises
        ------
        NotIdentifiedError
            When the data do not determine the means.
        """
        with _an_error_will_say():
            block = self._block(X, Z, offset=offset, exposure=exposure)
            value = self.expert_means(X, Z, offset=offset, exposure=exposure)
        se = self._delta_errors(expert_means_jacobian(self._terms, self.theta, block), kind)
        scale = 1.0 if self.schema.classes is not None else self.coordinates.y.scale
        return Estimated(value, scale * np.moveaxis(se, -1, 0), proportion=self.schema.classes is not None)

    def get_gate_weights(self, X: Any = None, Z: Any = None, *, kind: str | None = None) -> Estimated:
        """`gate_weights` of new rows with delta-method standard errors; see `get_expert_means`."""
        if X is None and Z is None:
            raise InputError("X (or Z) is needed: the rows at which to say how sure the gate weights are.")
        with _an_error_will_say():
            block, value = self._gate_block(X, Z), self.gate_weights(X, Z)
        se = self._delta_errors(gate_weights_jacobian(self._terms, self.theta, block), kind)
        return Estimated(value, np.ascontiguousarray(se.T), proportion=True)

    def _delta_errors(self, jacobian: FloatArray, kind: str | None) -> FloatArray:
        return delta_errors(jacobian, self._information.working_covariance(jacobian, kind))

    # ------------------------------------------------------------------------------- figures
    def plot(
        self,
        X: Any = None,
        y: Any = None,
        Z: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        along: str | int | None = None,
        title: str = "",
    ) -> Figure:
        """The fit on one page: experts, gate, density, responsibilities, starts and trace under the verdict.

        Parameters
        ----------
        X, y, Z, offset, exposure : array-like, optional
            Rows to show; those of the fit when left out. A formula's fit takes a data frame as X.
        along : str or int, optional
            Covariate on the horizontal axes, by name or position; the first when left out.
        title : str

        Returns
        -------
        matplotlib Figure
        """
        from moestat.plotting import plot_summary

        return plot_summary(self, X, y, Z, offset=offset, exposure=exposure, along=along, title=title)

    # ------------------------------------------------------------------------------- storage
    def save(self, path: str | Path) -> Path:
        """Write parameters, certificate and covariance sums to an ``.npz`` file (no rows, no pickle).

        Returns
        -------
        Path of the file, with its suffix
        """
        header = {
            "objective": self.objective,
            "model": describe_model(self.model),
            "schema": describe_schema(self.schema),
            "certificate": self.certificate.to_dict(),
            "entropy": self.entropy,
            "starts": self._starts,
            "trace": [[row.method, row.loglik, row.gradient, row.objective] for row in self._trace],
            "design": None if self.design is None else self.design.to_dict(),
            "known": self.known,
            "facts": self._stored_facts,
        }
        arrays = {"theta": self.theta, "hessian": self._hessian, "outer": self._outer_products}
        if self._slopes is not None:
            arrays["slopes"] = self._slopes
        return storage.write(path, header, arrays | self.coordinates.to_arrays())

    @property
    def _stored_facts(self) -> dict[str, float]:
        """Numbers among the further fields, for storage."""
        return {}

    @classmethod
    def restored_facts(cls, facts: dict[str, float], arrays: dict[str, FloatArray]) -> dict[str, Any]:
        """The further fields of a stored fit."""
        return {}


@contextmanager
def _an_error_will_say() -> Iterator[None]:
    """Rows that break a relation of the fit: where that matters, errors of estimates are refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficientWarning)
        yield
