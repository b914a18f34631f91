"""The certificate as printed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from moestat.certificate.status import GRADIENT_TOLERANCE, Status
from moestat.gates.topk import SURFACE

if TYPE_CHECKING:
    from moestat.certificate.optimum import Certificate, Optimum, Rival

#: Kinds of end points from which to speak of better ones.
MAXIMA = (Status.STRICT_MAXIMUM, Status.AT_BOUND, Status.AT_TIES, Status.FLAT_MAXIMUM, Status.RUNAWAY)

#: What is said of a gate with one active expert.
SURFACE_ONLY = "all that the rows know of the gate, up to moves past no row; it has no steepness"

#: Rivals or directions of one kind that are listed one by one; more are summed up.
LISTED = 3


def verdict(c: Certificate) -> list[str]:
    """Lines of the printed certificate."""
    o = c.optimum
    measure = c.measure
    lines = [f"Verdict: {_headline(c)}"]
    if c.higher:
        count = sum(rival.n_starts for rival in c.higher)
        starts = f"{count} start{'s' if count > 1 else ''}"
        unfinished = all(rival.status is Status.NOT_CONVERGED for rival in c.higher)
        where = "short of convergence" if unfinished else f"to no finite {measure.optimum}"
        lines.append(f"  But {starts} went {measure.better}, {where}; see below.")
    of = ", joint: of covariates and response together" if c.joint else ""
    lines.append(f"  {measure.name:18s} {c.reading(o.loglik):.10g} over {c.n_rows:g} rows{of}")
    if o.status is Status.RUNAWAY:
        lines += _limit(c)
    lines.append(f"  gradient           {_gradient(o)}")
    if o.kinks and o.status is Status.NOT_CONVERGED:
        vouched = f"{measure.optimum} at a kink looks like this: nothing but the comparison of starts vouches for it"
        lines.append(f"    kinks            a {vouched}")
    lines.append(f"  information        {_information(o)}")
    if o.declared:
        first, *others = dict.fromkeys(o.declared)
        lines.append(f"    set aside        {first}{f', and {len(others)} more' if others else ''}")
    lines += _directions("flat", o.flat) + _directions("running away", o.runaway)
    lines += [f"  rank deficient     {words}" for words in c.deficient]
    if o.bounds:
        lines.append(f"  bounds             active: {', '.join(o.bounds)}")
    lines += _jumps(c)
    if measure.has_floors:
        floors = ", ".join(o.floors) if o.floors else "none active"
        lines.append(f"  variance floor     {floors}")
    lines.append(f"  experts            {_masses(o)}")
    lines.append(f"  starts             {_starts(c)}")
    lines += [f"    {text}" for text in _rivals(c)]
    lines += _confidence(c)
    lines.append(f"  solver             stopped because {measure.stops.get(c.stop, c.stop)}")
    return lines


def _headline(c: Certificate) -> str:
    o, measure = c.optimum, c.measure
    if o.towards:
        return f"no finite {measure.optimum}: {measure.endless} as {o.towards}."
    if o.jumps and o.status is Status.STRICT_MAXIMUM:
        return f"a strict local {measure.optimum}, of the region where every row keeps its experts."
    if o.kinks and o.status is Status.NOT_CONVERGED:
        return "not converged: the gradient is not zero, and would not be at a kink."
    return measure.headlines[o.status]


def _gradient(o: Optimum) -> str:
    text = f"{o.gradient:.1e} per row in standardised coordinates"
    if o.fine_gradient > GRADIENT_TOLERANCE:
        return f"{text}: NOT zero (limit {GRADIENT_TOLERANCE:.0e})"
    if o.gradient > GRADIENT_TOLERANCE:
        return f"{text}, {o.fine_gradient:.1e} in units of the information: zero to rounding"
    return f"{text}: zero (limit {GRADIENT_TOLERANCE:.0e})"


def _limit(c: Certificate) -> list[str]:
    """The supremum along the rays, and the rows that part company there."""
    o, measure = c.optimum, c.measure
    straight = f"{measure.approach} all along the ray"
    approach = straight if o.monotone else "approached by Newton steps; no straight ray leads there"
    limit, here = c.reading(o.limit), c.reading(o.loglik)
    lines = [f"    {measure.limit:16s} {limit:.10g} ({limit - here:+.1e}), {approach}"]
    *decided, shared = o.partition
    if len(decided) > 1 and not o.towards:
        parts = ", ".join(f"expert {k} alone has {rows:g}" for k, rows in enumerate(decided, 1) if rows)
        lines.append(f"    limiting gate    rows: {parts or 'none decided'}; {shared:g} shared")
    return lines


def _jumps(c: Certificate) -> list[str]:
    """What a verdict means where the likelihood jumps."""
    o = c.optimum
    if not o.jumps:
        return []
    rest = len(o.ties) - LISTED
    lines = [f"  switching surface  {SURFACE_ONLY}"] if SURFACE in o.declared else []
    lines += [f"  switching ties     {words}" for words in o.ties[:LISTED]]
    lines += [f"  switching ties     and {rest} more"] if rest > 0 else []
    beyond = f"the {c.measure.jumps} jumps beyond: a local statement"
    return [*lines, f"  region             where every row keeps its experts; {beyond}"]


def _directions(kind: str, words: tuple[str, ...]) -> list[str]:
    lines = [f"    {kind:16s} {direction}" for direction in words[:LISTED]]
    rest = len(words) - LISTED
    return lines + ([f"    {kind:16s} and {rest} more direction{'s' if rest > 1 else ''}"] if rest > 0 else [])


def _information(o: Optimum) -> str:
    if not o.eigenvalues.size:
        return "no free parameter"
    if o.runaway:
        text = f"eigenvalues {o.eigenvalues[0]:.2e} to {o.eigenvalues[-1]:.2e} per row, vanishing"
    elif not o.flat and o.eigenvalues[0] > 0:
        text = f"positive definite, eigenvalues {o.eigenvalues[0]:.2e} to {o.eigenvalues[-1]:.2e} per row"
    else:
        negative = int((o.eigenvalues < 0).sum())
        text = f"eigenvalues {o.eigenvalues[0]:.2e} to {o.eigenvalues[-1]:.2e} per row; {len(o.flat)} flat"
        text += f", {negative} negative" if negative and o.status is Status.SADDLE else ""
    aside = f" ({o.invariances} declared invariances set aside)" if o.invariances else ""
    return text + aside


def _masses(o: Optimum) -> str:
    shares = ", ".join(f"{mass:.1f}" for mass in o.masses)
    unselected = [k for k in o.empty if o.jumps and o.masses[k - 1] == 0]
    light = [k for k in o.empty if k not in unselected]
    empty = f"; expert {', '.join(map(str, light))} has almost no mass" if light else ""
    empty += f"; expert {', '.join(map(str, unselected))} is selected by no row" if unselected else ""
    few = "".join(f"; expert {k} rests on {rows} row{'s' if rows > 1 else ''}" for k, rows in o.few)
    return f"{shares} rows{empty}{few}"


def _starts(c: Certificate) -> str:
    tried = f"{c.n_starts} start{'s' if c.n_starts != 1 else ''}"
    if c.n_finished < c.n_starts:
        text = f"{c.n_reached} of the {c.n_finished} most promising of {tried} reached this solution"
    else:
        text = f"{c.n_reached} of {tried} reached this solution"
    return text + (f"; in {c.n_reseeded} an expert lost its rows and was placed anew" if c.n_reseeded else "")


def _confidence(c: Certificate) -> list[str]:
    """How sure the starts make it that nothing better was missed."""
    lines = []
    # the most promising are no sample of all; where the likelihood jumps, only the best are looked around
    all_finished = c.n_finished == c.n_starts > 1 and not c.optimum.jumps
    if all_finished and c.n_experts > 1 and c.status in MAXIMA and not c.higher:
        lines.append(f"    95 % sure: no better solution that more than {100 * c.unseen:.0f} % of such starts lead to")
    if c.gave_up:
        lines.append(f"    the search gave up after {c.n_starts} starts, with other solutions likely to be left")
    if c.n_reached == 1 and c.n_finished > 1:
        lines.append("    seen once only: a better solution may exist; raise n_starts")
    return lines


def _rivals(c: Certificate) -> list[str]:
    """What the other starts reached, kind by kind."""
    lines = []
    for status in Status:
        rivals = _as_read(c, [r for r in c.rivals if r.status is status])
        lines += [_rival(c, rival) for rival in rivals[:LISTED]]
        if rest := rivals[LISTED:]:
            worst = c.reading(min(r.loglik for r in rest))
            way = "down" if c.measure.sign > 0 else "up"
            lines.append(f"{sum(r.n_starts for r in rest)} more {way} to {worst:.6g}: {c.measure.kind(status)}")
    return lines


def _as_read(c: Certificate, rivals: list[Rival]) -> list[Rival]:
    """Rivals of one kind, those of one printed level as one."""
    levels: dict[str, list[Rival]] = {}
    for rival in rivals:
        levels.setdefault(f"{c.reading(rival.loglik):.6g}", []).append(rival)
    return [replace(same[0], n_starts=sum(r.n_starts for r in same)) for same in levels.values()]


def _rival(c: Certificate, rival: Rival) -> str:
    level = c.reading(rival.loglik)
    gap = level - c.reading(c.loglik)
    kind = c.measure.kind(rival.status)
    kind = f"another {kind}" if rival.status is c.status else kind
    return f"{rival.n_starts} ended at {level:.6g} ({gap:+.4g}): {kind}"
