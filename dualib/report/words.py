"""The sentences of a report."""

from __future__ import annotations

import math
from collections import Counter

from dualib.predict.cross_fit_result import CrossFit
from dualib.report.facts import Facts
from dualib.results.common import counted

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
    empty = 1.0 - joint.pxy.nnz / (joint.n_x * joint.n_y) if joint.is_sparse else float((joint.pxy == 0.0).mean())
    zeros = 0.0 if joint.is_smoothed else empty
    said = [f"{source.name}: a table of {joint.n_x} x (rows) by {joint.n_y} y (columns), {kinds[source.kind]}."]
    if source.guess:
        said.append(f"How to read it was guessed: {source.guess}.")
    said.append(f"{zeros:.1%} of its cells are zero." if zeros else "No cell is zero.")
    if source.smoothing:
        said[-1] = f"{source.smoothing:g} was added to every cell. {said[-1]}"
    total = facts.factor * joint.mutual_information
    said.append(f"X tells {total:.6g} {facts.unit} of Y, which is I(X;Y); no clustering can keep more.")
    return said


def of_learning(facts: Facts) -> list[str]:
    """Where clusters begin, and what happens along beta."""
    curve = facts.curve
    said = []
    if curve.onset is not None and math.isfinite(curve.onset):
        said.append(f"Below beta = {curve.onset:.8g}, the onset of learning, one cluster of all x is the best there is.")
    elif curve.onset is not None:
        said.append("Y does not depend on X: one cluster is the best at every beta.")
    number, located = len(curve.events), sum(event.located for event in curve.events)
    how = f", {_part(located, number)} of them located as roots" if located else ", bracketed by the points"
    said.append(
        f"From beta = {curve.beta[0]:.4g} to {curve.beta[-1]:.4g} the optimum goes from {curve.n_clusters[0]} to "
        f"{curve.n_clusters[-1]} clusters by {counted(number, 'event')}{how * (number > 0)}."
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
    """How much of I(X;Y) is the sample's."""
    sample, factor, unit = facts.sample, facts.factor, facts.unit
    if sample is None:
        return [
            "The table holds no counts of observations, so nothing is known of the sample that it may come from. All numbers here "
            "are of the table as it stands."
        ]
    surplus = max(0.0, sample.plug_in - max(0.0, sample.estimate))
    share = surplus / sample.plug_in if sample.plug_in > 0.0 else 0.0
    said = [
        f"Of the {factor * sample.plug_in:.4g} {unit} of I(X;Y) in the counts about {factor * surplus:.2g} ({share:.0%}) are the "
        f"sample's: {sample.n:,} observations, by the NSB estimate. The clusters were chosen on the same counts that measure "
        "them, so their relevance flatters them the more, the finer they are."
    ]
    if sample.fit is None:
        said.append(
            "The table is too large, or too small, to be divided here, or it was not asked for: two tables of other observations "
            "and dualib compare TRAIN TEST say what is left."
        )
    return said


def of_fit(fit: CrossFit) -> list[str]:
    """What encoders are worth on observations that did not choose them."""
    clusters = counted(fit.best.n_clusters, "cluster")
    low, high = float(fit.null_onsets.min()), float(fit.null_onsets.max())
    if fit.onset < low:
        verdict = f"none of them does so early. Beyond {low:.4g} noise has clusters too."
    else:
        verdict = "where they begin tells the table from noise only if that is below most of these."
    return [
        "Below, encoders chosen on one half of the observations and measured on the other: means of "
        f"{fit.n_splits} random divisions, both ways, with their standard error, at betas of the curve. A half chose them, so all "
        "observations can keep a little more.",
        f"The held-out log loss is least at beta = {fit.best_beta:.4g}, with {clusters}: finer ones do not predict better from a "
        "half of these observations.",
        f"In {len(fit.null_onsets)} tables of the same margins in which y does not depend on x clusters begin at beta = {low:.4g} "
        f"to {high:.4g}, and in this one at {fit.onset:.4g}: {verdict}",
    ]


def rows_of_fit(fit: CrossFit, factor: float) -> list[tuple[str, ...]]:
    """One row a beta: beta, clusters, relevance in the sample and on the other half, log loss there; informations times `factor`."""
    errors, loss_errors = fit.cross_fitted_se, fit.log_loss_se
    assert errors is not None and loss_errors is not None  # there is more than one division
    return [
        (
            f"{fit.beta[i]:.4g}" + (" (least log loss)" if fit.beta[i] == fit.best_beta else ""),
            str(fit.n_clusters[i]),
            f"{factor * fit.relevance[i]:.4f}",
            f"{factor * fit.cross_fitted_relevance[i]:.4f} ± {factor * errors[i]:.4f}",
            f"{factor * fit.log_loss[i]:.4f} ± {factor * loss_errors[i]:.4f}",
        )
        for i in range(len(fit.beta))
    ]
