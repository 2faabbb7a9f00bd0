"""From the end of a solve on the reduced problem to the public `Solution`: sources put back, quantities computed."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from dualib.curvature import slowest_rate
from dualib.distortions import Array
from dualib.joint import JointDistribution
from dualib.kernels import informations
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, Sweep, expected_distortion
from dualib.results import Solution, Status
from dualib.sparse_assemble import assemble_sparse
from dualib.sparse_problem import SparseProblem
from dualib.threads import one_blas_thread


def assemble(problem: Problem, outcome: Outcome, status: Status) -> Solution:
    """The solution of the whole joint distribution: encoder of every x, its marginal and its centroids."""
    if isinstance(problem, SparseProblem):
        return assemble_sparse(problem, outcome, status)
    state, joint = outcome.state, problem.joint
    encoder = full_encoder(problem, state.atoms, state.beta, state.posterior)
    decoder = problem.decoder(state.new)
    reached = encoder.T @ (joint.pxy.toarray() if joint.is_sparse else joint.pxy)
    arrays = (np.require(array, np.float64, ["C", "W"]) for array in (joint.px, encoder, reached, decoder))
    weights, rate, relevance, decoder_information = informations(*arrays)
    distortion = expected_distortion(problem, state.new, state.posterior)
    objective = rate + state.beta * distortion
    rho: Any = functools.cache(lambda: _rho(joint, problem, state))  # deferred: dear, and seldom asked for
    error_bound: Any = lambda: _error_bound(state.residual, rho())  # noqa: E731
    stability: Any = lambda: _stability(problem, state.atoms, state.beta, state.posterior)  # noqa: E731
    gap = max(0.0, outcome.gap + objective - state.objective) if math.isfinite(outcome.gap) else math.inf
    return Solution(
        joint=joint,
        distortion=problem.distortion,
        beta=state.beta,
        encoder=encoder,
        weights=weights,
        means=state.new.means,
        decoder=decoder,
        objective=objective,
        rate=rate,
        relevance=relevance,
        expected_distortion=distortion,
        decoder_information=decoder_information,
        gap=gap,
        certificate=outcome.certificate,
        status=status,
        n_iter=outcome.n_iter,
        residual=state.residual,
        error_bound=error_bound,
        rho=rho,
        stability=stability,
    )


def full_encoder(problem: Problem, atoms: Atoms, beta: float, posterior: Array) -> Array:
    """p(t|x) (n_x, n_t) of every original source; one of probability 0 is encoded by its conditional.

    Where no cluster is at a finite distance from such a source its row is p(t), the answer that claims nothing about it.
    """
    if problem.is_whole:
        encoder = np.ascontiguousarray(posterior.T)
        return encoder / encoder.sum(axis=1, keepdims=True)
    live = problem.row_of >= 0
    encoder = np.tile(atoms.weights, (len(problem.row_of), 1))
    encoder[live] = posterior.T[problem.row_of[live]]
    dead = np.flatnonzero(~live)
    if len(dead):
        terms = problem.log_terms_of(atoms, beta, problem.full_features[dead], problem.full_py_x[dead]).T
        terms += np.log(atoms.weights)
        top = terms.max(axis=1)
        near = np.isfinite(top)
        encoder[dead[near]] = np.exp(terms[near] - top[near, None])
    return encoder / encoder.sum(axis=1, keepdims=True)


@one_blas_thread
def _rho(joint: JointDistribution, problem: Problem, state: Sweep) -> float:
    return slowest_rate(problem, state)


def _error_bound(residual: float, rho: float) -> float:
    """How far the fixed point is, sweeps converging at the rate rho."""
    if rho < 1.0:
        return residual / (1.0 - rho)
    return 0.0 if residual == 0.0 else math.inf


@one_blas_thread
def _stability(problem: Problem, atoms: Atoms, beta: float, posterior: Array) -> Array:
    if problem.distortion.fixed_atoms:
        return np.zeros(len(atoms))
    members = posterior * problem.px
    return beta * problem.stability(atoms, members / members.sum(axis=1, keepdims=True))
