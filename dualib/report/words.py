"""The sentences of a report."""

from __future__ import annotations

import math
from collections import Counter

from dualib.report.facts import Facts
from dualib.results.solution import Solution

NAMES = {"ib": "the Information Bottleneck", "dualib": "the dual Information Bottleneck"}
_MANNERS = {
    "rigorous": "proved, by branch and bound with rounding counted",
    "multistart": "searched for from many starts, with nothing better found: strong evidence, no proof",
    "heuristic": "searched for on a part of what zeros in the table allow: evidence, weaker",
}


def of_reading(facts: Facts) -> list[str]:
    """What was read."""
    joint, source = facts.curve.joint, facts.source
    sample = f" of {facts.sample.n:,} observations" if facts.sample is not None else ""
    kinds = {
        "counts": f"counts{sample}",
        "probabilities": "probabilities of pairs",
        "conditionals": "rows that each sum to 1, taken as p(y|x) with p(x) uniform",
        "weights": "weights, divided by their sum",
    }
    zeros = 1.0 - joint.pxy.nnz / (joint.n_x * joint.n_y) if joint.is_sparse else float((joint.pxy == 0.0).mean())
    said = [f"{source.name}: a table of {joint.n_x} x (rows) by {joint.n_y} y (columns), {kinds[source.kind]}."]
    said.append(f"{zeros:.1%} of its cells are zero." if zeros else "No cell is zero.")
    if source.smoothing:
        said[-1] = f"{source.smoothing:g} was added to every cell. {said[-1]}"
    total = facts.factor * joint.mutual_information
    said.append(f"X tells {total:.6g} {facts.unit} of Y, which is I(X;Y); no clustering can keep more.")
    return said


def of_learning(facts: Facts) -> list[str]:
    """Where clusters begin, and what happens along beta."""
    curve = facts.curve
    located = [event for event in curve.events if event.located]
    said = []
    if curve.onset is not None and math.isfinite(curve.onset):
        said.append(f"Below beta = {curve.onset:.8g}, the onset of learning, one cluster of all x is the best there is.")
    elif curve.onset is not None:
        said.append("Y does not depend on X: one cluster is the best at every beta.")
    said.append(
        f"From beta = {curve.beta[0]:.4g} to {curve.beta[-1]:.4g} the optimum goes from {curve.n_clusters[0]} to "
        f"{curve.n_clusters[-1]} clusters by {len(curve.events)} event{'s' * (len(curve.events) != 1)}"
        + (f", {len(located)} of them located as roots." if curve.events else ".")
    )
    return said


def of_certificate(facts: Facts) -> list[str]:
    """How far from the best there is, and how that is known."""
    curve = facts.curve
    worst = max(curve, key=lambda solution: solution.gap)
    kinds = Counter(str(solution.certificate) for solution in curve)
    said = [
        f"The objective is I(X;T) + beta E d, of {NAMES[curve.distortion.name]}. At each of the {len(curve)} betas solved no "
        f"encoder whatever, with any number of clusters, has one lower by more than {facts.factor * worst.gap:.1e} {facts.unit} "
        f"(the largest gap, at beta = {worst.beta:.4g})."
    ]
    for kind, words in _MANNERS.items():
        if kinds[kind]:
            said.append(f"At {_part(kinds[kind], len(curve))} of them this was {words}.")
    open_points = [solution for solution in curve if not solution.converged]
    if open_points:
        betas = ", ".join(f"{solution.beta:.4g}" for solution in open_points[:6])
        said.append(
            f"At {len(open_points)} of them the wanted tolerance was not reached (beta = {betas}): the gap says by how much."
        )
    else:
        said.append("All reached the wanted tolerance.")
    return said


def _part(number: int, total: int) -> str:
    return "all" if number == total else str(number)


def of_sample(facts: Facts) -> list[str]:
    """How much of it is the sample's."""
    sample, factor, unit = facts.sample, facts.factor, facts.unit
    if sample is None:
        return [
            "The table holds no counts of observations, so nothing is known of the sample that it may come from. All numbers here "
            "are of the table as it stands."
        ]
    share = sample.by_chance / sample.plug_in if sample.plug_in > 0.0 else 0.0
    said = [
        f"The counts themselves have I(X;Y) = {factor * sample.plug_in:.4g} {unit}. Tables with the same margins and no dependence "
        f"at all have {factor * sample.by_chance:.4g} in the mean of 100: {share:.0%} of the whole may be the sample's. Without it "
        f"{factor * sample.shuffled:.4g} {unit} are left; the Miller-Madow correction leaves {factor * sample.miller_madow:.4g}."
    ]
    if sample.null_onsets:
        low, high = sample.null_onsets[0], sample.null_onsets[-1]
        said.append(
            f"In {len(sample.null_onsets)} such tables, treated in the same way, clusters begin at beta = {low:.4g} to {high:.4g}. "
            + _against_null(facts, low)
        )
    said.append(
        "The clusters were chosen on the same counts that measure them, so the relevance at large beta is the more flattering the "
        "finer they are. To measure it on what was not used, split the observations into two tables: dualib compare TRAIN TEST."
    )
    return said


def _against_null(facts: Facts, low: float) -> str:
    """What the table shows at a beta at which chance shows nothing."""
    below = [solution for solution in facts.curve if solution.beta < low]
    if not below or below[-1].n_clusters < 2:
        return "This table has no clusters at a smaller beta, so none that chance could not have made."
    last: Solution = below[-1]
    return (
        f"Below that, where they are one cluster, this table has up to {max(s.n_clusters for s in below)} clusters and a relevance "
        f"of {facts.factor * last.relevance:.4g} {facts.unit}, as none of them has. Finer clusters, at larger beta, may be chance."
    )
