"""From the end of a solve on a sparse problem to the public `Solution`: the encoder made once, sums taken block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dualib.distortions import Array
from dualib.information import mutual_information
from dualib.problem import Atoms
from dualib.results import Solution, Status
from dualib.sparse_problem import SparseProblem
from dualib.sparse_solver import stability

if TYPE_CHECKING:
    from dualib.optimise import Outcome

_BLOCK = 4096  # rows of the encoder at a time


def assemble_sparse(problem: SparseProblem, outcome: Outcome, status: Status) -> Solution:
    """The solution of the whole sparse joint distribution; rho and the error bound are inf, not computed."""
    state, joint = outcome.state, problem.joint
    encoder = full_encoder(problem, state.atoms, state.beta)
    weights = np.asarray(joint.px @ encoder)
    atoms = Atoms(weights, state.new.means, state.atoms.face)
    rate = _rate(joint.px, encoder, weights)
    decoder = problem.decoder(atoms)
    pty = np.asarray((joint.pxy.T @ encoder).T)
    # E d = sum_x p(x) a(x) - sum_t sum_y p(t, y) log p(y|t), over the live x
    log_means = problem.link(atoms)[0]
    distortion = max(0.0, problem.constant - float(np.sum(weights[:, None] * atoms.means * log_means)))
    objective = rate + state.beta * distortion
    gap = max(0.0, outcome.gap + objective - state.objective) if np.isfinite(outcome.gap) else np.inf
    claimed = weights[:, None] * decoder
    return Solution(
        joint=joint,
        distortion=problem.distortion,
        beta=state.beta,
        encoder=encoder,
        weights=weights,
        means=atoms.means,
        decoder=decoder,
        objective=objective,
        rate=rate,
        relevance=max(0.0, mutual_information(pty / pty.sum())),
        expected_distortion=distortion,
        decoder_information=max(0.0, mutual_information(claimed / claimed.sum())),
        gap=gap,
        certificate=outcome.certificate,
        status=status,
        n_iter=outcome.n_iter,
        residual=state.residual,
        error_bound=0.0 if state.residual == 0.0 else np.inf,
        rho=np.inf,
        stability=stability(problem, state),
    )


def full_encoder(problem: SparseProblem, atoms: Atoms, beta: float) -> Array:
    """p(t|x) (n_x, n_t) of every original source; p(t) where one of probability 0 is infinitely far from every cluster."""
    encoder = problem.encoder(beta, atoms)[0]
    if problem.n == problem.joint.n_x:
        return encoder
    dead = np.flatnonzero(problem.row_of < 0)
    encoder = encoder[np.maximum(problem.row_of, 0)]
    if len(dead):
        rows, log_z = problem.encoder(beta, atoms, problem.joint.py_x[dead])
        encoder[dead] = np.where(np.isfinite(log_z)[:, None], rows, atoms.weights)
    return encoder


def _rate(px: Array, encoder: Array, weights: Array) -> float:
    """I(X;T), nats."""
    total = 0.0
    for begin in range(0, len(px), _BLOCK):
        rows = encoder[begin : begin + _BLOCK]
        ratio = np.divide(rows, weights, out=np.ones_like(rows), where=rows > 0.0)
        total += float(np.sum(px[begin : begin + _BLOCK, None] * rows * np.log(ratio)))
    return max(0.0, total)
