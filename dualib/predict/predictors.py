"""What `compare_predictions` compares: from a table of training counts to predicted p(y|x), at each beta.

The bottlenecks are solved by a few steps of the engine's descent, all betas at once, to a residual that is far below what a held-out
score can show. No search for a better optimum follows, and none is claimed; `certify=True` has both, by `anneal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import rel_entr

from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.exponential import ExponentialFamily
from dualib.distortions.interface import Array, Distortion
from dualib.distortions.maximum_entropy import fit_parameters
from dualib.engine.batch import COARSE, Batch, in_order, merged, moved
from dualib.engine.descent import descend
from dualib.engine.initial import identity, random_clusters
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep
from dualib.information.entropies import entropy_of, mutual_information
from dualib.joint import JointDistribution
from dualib.path.anneal import anneal
from dualib.path.points import at_once
from dualib.predict.scores import WITHOUT_CLUSTERS
from dualib.results.encoding import as_map, bayes_decoder, encode_rows

METHODS = ("ib", "dualib", "dualib-exp", "plug-in", "ib-exp", "maxent")
OF_FAMILY = ("dualib-exp", "ib-exp", "maxent")

_RESIDUAL = 1e-2  # of the sweeps; the objective is then within about 1e-4 nats of stationary
_SLOPE, _SLOPE_CERTIFIED = 1e-4, 1e-7  # left in the fit of a family, per sample; the log loss is then good to 1e-5
_MOST_SWEEPS = 60  # at each beta


@dataclass(frozen=True)
class Options:
    """How to fit and predict; see `compare_predictions`."""

    features: Any
    rank: int
    prior: str
    decoder: str
    assignment: str
    n_clusters: int | None
    certify: bool


class Data:
    """Counts to fit to (n_x, n_y), with the families fitted so far: several methods take the same ones."""

    def __init__(self, counts: Array) -> None:
        self.counts = counts
        self._families: dict[float, ExponentialFamily] = {}

    def family(self, strength: float, options: Options) -> ExponentialFamily:
        """The family of a penalty (without features: of a smoothing), fitted at the first call."""
        if strength not in self._families:
            self._families[strength] = family_of(self.counts, strength, options)
        return self._families[strength]


@dataclass(frozen=True)
class Fitted:
    """Predictions p(y|x) (n_x, n_y) at one beta, and what the representation costs and keeps of the training data, nats."""

    beta: float
    prediction: Array
    rate: float
    relevance: float
    n_clusters: int


def fit(method: str, data: Data, strength: float, betas: Sequence[float], options: Options, seed: int) -> list[Fitted]:
    """The method fitted to counts, for each of `betas`, ascending; one at beta = inf for methods without clusters."""
    counts = data.counts
    family = data.family(strength, options) if method in OF_FAMILY else None
    rows = smoothed(counts, strength, options.prior) if family is None else family.conditionals()
    px = counts.sum(axis=1) / counts.sum()
    joint = JointDistribution.from_conditionals(rows, px)
    if method in WITHOUT_CLUSTERS:
        return [_whole(joint)]
    distortion: Distortion = IB() if method in ("ib", "ib-exp") else DualIB() if family is None else family
    if options.certify:
        return [_from_solution(solution, options) for solution in anneal(joint, distortion, betas, events=False)]
    problem = Problem(joint, distortion)
    return _from_states(problem, *quick_path(problem, betas, options.n_clusters, seed), options)


def smoothed(counts: Array, smoothing: float, prior: str) -> Array:
    """``(n(x, y) + smoothing n_y q(y)) / (n(x) + smoothing n_y)``: q uniform, or p(y) of the counts with 1 added to each.

    A row of zeros is the prior q itself.
    """
    n_y = counts.shape[1]
    q = np.full(n_y, 1.0 / n_y)
    if prior == "marginal":
        q = counts.sum(axis=0) + 1.0
        q /= q.sum()
    rows = counts + smoothing * n_y * q
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def family_of(counts: Array, strength: float, options: Options) -> ExponentialFamily:
    """The family fitted on the features with the penalty `strength`; without features, cut from the smoothed conditionals."""
    if options.features is None:
        rows = smoothed(counts, strength, options.prior)
        return ExponentialFamily.from_conditionals(rows, options.rank, counts.sum(axis=1) / counts.sum())
    seen = counts.sum(axis=1) > 0.0  # a row without samples does not enter the fit
    slope = _SLOPE_CERTIFIED if options.certify else _SLOPE
    parameters, nu = fit_parameters((options.features[seen], True), counts[seen], strength, largest_slope=slope)
    return ExponentialFamily(options.features, parameters, nu)


def quick_path(problem: Problem, betas: Sequence[float], n_clusters: int | None, seed: int) -> tuple[Batch, Sweep]:
    """Near-stationary solutions at each of `betas`, ascending, from the identity.

    With `n_clusters` from a random start of so many at the largest beta, and at the others from where that has come to.
    """
    ascending, free, found = np.array(sorted(betas), dtype=np.float64), n_clusters is None or n_clusters >= problem.n, []
    if not free:
        alone = random_clusters(problem, ascending[-1], int(n_clusters or 0), 1, np.random.default_rng(seed))
        last = descend(problem, alone, goal=_RESIDUAL, most=_MOST_SWEEPS).batch
    for places in np.split(np.arange(len(ascending)), range(at_once(problem), len(ascending), at_once(problem))):
        if free:
            start = merged(problem, identity(problem, ascending[places]), COARSE)
        else:
            start = moved(last.copied(np.zeros(len(places), dtype=np.int64))[0], ascending[places])
        found.append((places, descend(problem, start, goal=_RESIDUAL, most=_MOST_SWEEPS, coarse=free).batch))
    batch = in_order(found)
    return batch, Sweep(problem, batch)


def _from_states(problem: Problem, batch: Batch, sweep: Sweep, options: Options) -> list[Fitted]:
    decoders, found = problem.decoder(batch.means, batch.face), []
    own_decoders = problem.decoder(sweep.new_means, batch.face)
    for s, beta in enumerate(batch.beta.tolist()):
        own = slice(batch.ends[s], batch.ends[s + 1])
        known = (batch.weights[own], batch.means[own], decoders[own])
        encoder = encode_rows(problem.distortion, beta, *known, problem.full_py_x)
        pairs = sweep.posterior[own] * problem.px
        pty, weights = pairs @ problem.py_x, pairs.sum(axis=1)
        decoder = pty / pty.sum(axis=1, keepdims=True) if options.decoder == "bayes" else own_decoders[own]
        rate = float(rel_entr(pairs, weights[:, None] * problem.px).sum())
        relevance = max(0.0, mutual_information(pty / pty.sum()))
        found.append(Fitted(beta, _through(encoder, decoder, options), max(0.0, rate), relevance, len(weights)))
    return found


def _from_solution(solution: Any, options: Options) -> Fitted:
    encoder = solution.encode(solution.joint.py_x)
    decoder = solution.decoder if options.decoder == "problem" else bayes_decoder(solution)
    prediction = _through(encoder, decoder, options)
    return Fitted(solution.beta, prediction, solution.rate, solution.relevance, solution.n_clusters)


def _through(encoder: Array, decoder: Array, options: Options) -> Array:
    prediction = (as_map(encoder) if options.assignment == "map" else encoder) @ decoder
    return np.asarray(prediction / prediction.sum(axis=1, keepdims=True))


def _whole(joint: JointDistribution) -> Fitted:
    """The end of every path, beta = inf: one cluster for each distinct conditional, p(y|t) = p(y|x)."""
    distinct, of = np.unique(joint.py_x[joint.px > 0.0], axis=0, return_inverse=True)
    weights = np.bincount(of.ravel(), joint.px[joint.px > 0.0], minlength=len(distinct)).astype(np.float64)
    return Fitted(np.inf, np.asarray(joint.py_x), entropy_of(weights), joint.mutual_information, len(distinct))
