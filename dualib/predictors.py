"""What `compare_predictions` compares: from a table of training counts to predicted p(y|x), at each beta.

The bottlenecks are solved from large beta to small, each from the last, by accelerated sweeps to a residual that is far below
what a held-out score can show. No search for a better optimum follows, and none is claimed; `certify=True` has both, by `anneal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualib.anderson import Anderson
from dualib.distortions import IB, Array, Distortion, DualIB
from dualib.exponential import ExponentialFamily
from dualib.information import mutual_information
from dualib.joint import JointDistribution
from dualib.local import merge_atoms, tidy
from dualib.maximum_entropy import fit_parameters
from dualib.optimise import random_atoms
from dualib.path.anneal import anneal
from dualib.prediction import as_map, bayes_decoder, encode_rows
from dualib.problem import Atoms, Problem, Sweep, identity_atoms, sweep
from dualib.scores import WITHOUT_CLUSTERS

METHODS = ("ib", "dualib", "dualib-exp", "plug-in", "ib-exp", "maxent")
OF_FAMILY = ("dualib-exp", "ib-exp", "maxent")

_RESIDUAL = 1e-2  # of the sweeps; the objective is then within about 1e-4 nats of stationary
_SLOPE, _SLOPE_CERTIFIED = 1e-4, 1e-7  # left in the fit of a family, per sample; the log loss is then good to 1e-5
_MOST_SWEEPS = 60  # at each beta
_DEPTH = 5
_NO_WEIGHT = 1e-6  # every tenth sweep clusters below this weight, relative to the largest, are dropped
_ALIKE = 1e-4  # ... and those merged whose squared natural distance is below this


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
    return [_from_state(problem, state, options) for state in quick_path(problem, betas, options.n_clusters, seed)]


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


def quick_path(problem: Problem, betas: Sequence[float], n_clusters: int | None, seed: int) -> list[Sweep]:
    """Near-stationary states at each of `betas`, ascending, followed from the largest down."""
    if n_clusters is None or n_clusters >= problem.n:
        atoms = identity_atoms(problem)
    else:
        atoms = random_atoms(problem, n_clusters, np.random.default_rng(seed)).normalised()
    states = []
    for beta in sorted(betas, reverse=True):
        state = quick_solve(problem, beta, atoms)
        states.append(state)
        atoms = state.atoms
    return states[::-1]


def quick_solve(problem: Problem, beta: float, atoms: Atoms) -> Sweep:
    """Guarded Anderson-accelerated sweeps to a residual of 1e-2, or 60 of them."""
    state, accelerator = sweep(problem, beta, atoms), Anderson(_DEPTH)
    for step in range(1, _MOST_SWEEPS):
        if state.residual <= _RESIDUAL:
            break
        if step % 10 == 0:  # drop what has died, merge what has met
            accelerator.clear()
            state = sweep(problem, beta, _tidied(problem, beta, state.new))
            continue
        proposal = accelerator.propose(state)
        trial = None if proposal is None else sweep(problem, beta, proposal)
        if trial is None or not trial.objective <= state.objective + 1e-12:
            if trial is not None:
                accelerator.clear()
            trial = sweep(problem, beta, state.new.pick(state.new.weights > 0.0).normalised())
        state = trial
    return sweep(problem, beta, _tidied(problem, beta, state.new))


def _tidied(problem: Problem, beta: float, atoms: Atoms) -> Atoms:
    return merge_atoms(problem, beta, tidy(problem, beta, atoms, floor=_NO_WEIGHT), _ALIKE).normalised()


def _from_state(problem: Problem, state: Sweep, options: Options) -> Fitted:
    atoms, posterior = state.new.normalised(), state.posterior
    encoder = encode_rows(problem, state.atoms, state.beta, problem.full_py_x)
    pty = (posterior * problem.px) @ problem.py_x
    weights = atoms.weights
    decoder = pty / pty.sum(axis=1, keepdims=True) if options.decoder == "bayes" else problem.decoder(atoms)
    ratio = np.divide(posterior, weights[:, None], out=np.ones_like(posterior), where=posterior > 0.0)
    rate = max(0.0, float(np.sum(posterior * np.log(ratio), axis=0) @ problem.px))
    relevance = max(0.0, mutual_information(pty / pty.sum()))
    return Fitted(state.beta, _through(encoder, decoder, options), rate, relevance, len(atoms))


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
    weights = np.bincount(of.ravel(), joint.px[joint.px > 0.0], minlength=len(distinct))
    rate = max(0.0, float(-np.sum(weights * np.log(weights))))
    return Fitted(np.inf, np.asarray(joint.py_x), rate, joint.mutual_information, len(distinct))
