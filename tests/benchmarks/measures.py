"""All measurements of the table; one line adds another."""

from __future__ import annotations

from functools import partial

from tests.benchmarks import arithmetic, first_use, many_fits, pass_ratios, two_threads
from tests.benchmarks.measure import Measure, at_least, at_most
from tests.benchmarks.peers import scikit_learn, whole_fits

MEASURES: tuple[Measure, ...] = (
    # first use
    Measure("import", "import moestat", "s", at_most(1.0), first_use.importing),
    Measure("first-fit", "First fit of a process, kernels compiled", "s", at_most(2.0), first_use.first_fit),
    Measure("first-fit-ever", "First fit of an installation", "s", at_most(30.0), first_use.first_fit_ever),
    # one pass
    Measure(
        "em-numpy",
        "EM pass: vectorised NumPy / moestat, d ≤ 5, K ≤ 8",
        "times",
        at_least(25.0),
        partial(pass_ratios.em_against_numpy, pass_ratios.SHAPES),
    ),
    Measure(
        "em-numpy-20",
        "EM pass: vectorised NumPy / moestat, d = 20, K = 8",
        "times",
        at_least(8.0),
        partial(pass_ratios.em_against_numpy, ((20, 8),)),
    ),
    Measure(
        "em-numpy-100",
        "EM pass: vectorised NumPy / moestat, d = 100, K = 4",
        "times",
        at_least(2.0),
        partial(pass_ratios.em_against_numpy, ((100, 4),)),
    ),
    Measure(
        "em-scikit-learn",
        "EM iteration: scikit-learn's GaussianMixture / moestat",
        "times",
        None,
        scikit_learn.iterations,
    ),
    *(
        Measure(
            f"{name}-fused",
            f"{name.capitalize() if name != 'em' else 'EM'} pass: generic / fused by hand",
            "times",
            at_most(bound),
            partial(pass_ratios.against_fused, name),
        )
        for name, bound in (("score", 1.25), ("em", 1.25), ("hessian", 2.0))
    ),
    Measure(
        "gram",
        "Gram matrices, share of the matrix product's rate",
        "%",
        at_least(50.0),
        pass_ratios.gram_against_product,
    ),
    Measure("roofline", "EM pass, share of the roofline", "%", at_least(40.0), pass_ratios.of_roofline),
    Measure("threads", "Two threads: time of one / time of two", "times", at_least(1.7), two_threads.gained),
    # many fits, one start each
    *(
        Measure(
            f"fits-{K}-{n}",
            f"Certified fits a second, K = {K}{', over-specified' if K == 3 else ''}, n = {n:,}",
            "fits/s",
            at_least(figure),
            partial(many_fits.per_second, K, (n,)),
        )
        for K, figures in ((2, (10_000, 6_000, 1_500, 180)), (3, (1_000, 500, 80, 4.5)))
        for n, figure in zip((100, 1_000, 10_000, 100_000), figures, strict=True)
    ),
    Measure(
        "fits-one-by-one",
        "Fits a second, one call each, prepared model",
        "fits/s",
        at_least(1_000.0),
        many_fits.one_by_one,
    ),
    Measure("profile", "Share of a fit's time in compiled code", "%", None, arithmetic.shares),
    # whole fits
    Measure("fit-numpy", "Whole fit: vectorised NumPy EM / moestat", "times", None, whole_fits.against_numpy),
    Measure(
        "fit-scikit-learn",
        "Whole fit: scikit-learn's GaussianMixture / moestat",
        "times",
        None,
        scikit_learn.whole_fits,
    ),
    Measure("fit-flexmix", "Whole fit: R's flexmix / moestat", "times", at_least(100.0), whole_fits.against_flexmix),
    Measure(
        "fit-flexmix-constant",
        "Whole fit, constant gate: R's flexmix / moestat",
        "times",
        None,
        whole_fits.against_flexmix_without_gate,
    ),
    Measure(
        "fit-mixtools", "Whole fit, constant gate: R's mixtools / moestat", "times", None, whole_fits.against_mixtools
    ),
)
