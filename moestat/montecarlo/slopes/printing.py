"""A slope and its evidence as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moestat.montecarlo.slopes.summaries import summary
from moestat.theory.rates import Rate

if TYPE_CHECKING:
    from moestat.montecarlo.slopes.slope import Slope


def in_words(rate: Rate) -> str:
    """A rate as plain text, its factor of log n included: ``n^(-1/2) (log n)^(1/2)``."""
    text = str(rate).replace("{", "(").replace("}", ")")
    factor = rate.log_power and rate.exponent is not None and not rate.words
    return f"{text} (log n)^({rate.log_power})" if factor else text


def where(slope: Slope) -> str:
    """What the number is, and of which sizes: ``the effective slope of the mean loss on [1000, 100000]``."""
    low, high = slope.window
    return f"the effective slope of the {summary(slope.functional).words} on [{low:.12g}, {high:.12g}]"


def bracket(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.3f}, {ends[1]:.3f}]"


def evidence(slope: Slope) -> str:
    """All of it."""
    text = where(slope)
    return "\n".join(
        [
            f"{text[0].upper()}{text[1:]} is {slope.slope:.3f}, {slope.level:.0%} interval {bracket(slope.interval)}",
            *_what_it_rests_on(slope),
            *_shape(slope),
            *_other_forms(slope),
        ]
    )


def _what_it_rests_on(slope: Slope) -> list[str]:
    points = slope.points
    counts = (
        f"{points.counts.min()}"
        if points.counts.min() == points.counts.max()
        else (f"{points.counts.min()} to {points.counts.max()}")
    )
    lines = [f"  {len(points)} sizes, {counts} values each{', nested' if slope.nested else ''}"]
    if points.missing.any():
        lines.append(f"  {points.missing.sum()} replications have no value")
    lines += [f"  n={n:.12g} is left out: {count} values" for n, count in slope.left_out]
    fit = slope.fit
    law = f"Student's law ({fit.df} degrees of freedom)" if fit.strays else "the normal law"
    how = f"quantiles of {law}" if slope.studentised is None else f"bootstrap-t, {len(slope.studentised)} draws"
    lines.append(f"  standard error {slope.standard_error:.4f}, Birge ratio {fit.birge:.2f}, {how}")
    resampled = f", by resampling {slope.stray_p:.2g}" if fit.strays else ""
    lines.append(f"  lack of fit Q = {fit.q:.1f}, {fit.df} degrees of freedom, p = {fit.p_value:.2g}{resampled}")
    return lines


def _shape(slope: Slope) -> list[str]:
    lines = []
    if (bend := slope.curvature) is not None:
        error = f"{bend.coefficient:.4f} (standard error {bend.standard_error:.4f}, p = {bend.p_value:.2g})"
        lines.append(f"  curvature {error}: slopes {bend.at_low:.3f} to {bend.at_high:.3f}")
    pairs = zip(slope.local.slopes, slope.local.standard_errors, strict=True)
    lines.append("  local slopes " + ", ".join(f"{one:.2f} ({error:.2f})" for one, error in pairs))
    lines += [f"  from n={one.n_min:.12g} on: {one.slope:.3f} {bracket(one.interval)}" for one in slope.dropped[1:]]
    return lines


def _other_forms(slope: Slope) -> list[str]:
    lines = []
    if (second := slope.two_term) is not None:
        known = "" if second.determined else "; not determined"
        form = "c n^-g (1 + a n^-h)"
        lines.append(f"  {form}: -g = {second.slope:.3f} {bracket(second.interval)}, h about {second.h:.2g}{known}")
    logs = slope.logs
    lines.append(f"  (log(n)/n)^e: e = {logs.ratio}")
    lines += [f"  with (log n)^{power:g} held: slope in n {one}" for power, one in logs.held]
    if logs.power is not None:
        lines.append(f"  power of log n estimated: {logs.power}, slope in n {logs.slope}")
    return lines
