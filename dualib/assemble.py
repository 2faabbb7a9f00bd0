"""From the end of a solve on the reduced problem to the public `Solution`: sources put back, quantities computed."""

from __future__ import annotations

import math

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
    decoder, means = np.array(problem.decoder(state.new)), np.array(state.new.means)
    arrays = (joint.px, joint.pxy.toarray() if joint.is_sparse else joint.pxy, encoder, decoder)
    weights, rate, relevance, claimed, off = informations(*(np.require(array, np.float64, ["C", "W"]) for array in arrays))
    distortion = expected_distortion(problem, state.new, state.posterior)
    objective = rate + state.beta * distortion
    rho = _Rho(joint, problem, state)
    return Solution.of_fresh_arrays(
        off,
        joint=joint,
        distortion=problem.distortion,
        beta=state.beta,
        encoder=encoder,
        weights=weights,
        means=means,
        decoder=decoder,
        objective=objective,
        rate=rate,
        relevance=relevance,
        expected_distortion=distortion,
        decoder_information=claimed,
        gap=max(0.0, outcome.gap + objective - state.objective) if math.isfinite(outcome.gap) else math.inf,
        certificate=outcome.certificate,
        status=status,
        n_iter=outcome.n_iter,
        residual=state.residual,
        error_bound=lambda: _error_bound(state.residual, rho()),  # deferred: dear, and seldom asked for
        rho=rho,
        stability=lambda: _stability(problem, state.atoms, state.beta, state.posterior),
    )


def full_encoder(problem: Problem, atoms: Atoms, beta: float, posterior: Array) -> Array:
    """p(t|x) (n_x, n_t), but for the normalisation, of every original source; one of probability 0 is encoded by its conditional.

    Where no cluster is at a finite distance from such a source its row is p(t), the answer that claims nothing about it.
    """
    if problem.is_whole:
        return np.array(posterior.T, order="C")
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
    return encoder


class _Rho:
    """The linear rate of sweeps at a state, computed once, when asked for."""

    def __init__(self, joint: JointDistribution, problem: Problem, state: Sweep) -> None:
        self.joint = joint
        self._of: tuple[Problem, Sweep] | None = (problem, state)
        self._found = math.nan

    @one_blas_thread
    def __call__(self) -> float:
        if self._of is not None:
            self._found, self._of = slowest_rate(*self._of), None
        return self._found


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
