"""How far is an encoder from the global optimum? The duality gap, searched for or proved.

For any weights and decoders (w, r) with normaliser Z, and ``c(s) = sum_x p(x) exp(-beta d(x, s)) / Z(x)``,

    G(w, r) - log max_s c(s)  <=  F(beta)  <=  G(w, r)

because for any other mixing measure w' the objective is at least ``G - log sum_s w'(s) c(s)`` (Jensen). The maximum is proved
by branch and bound for the IB and the dual IB with at most four y (the IB: or four x), exact for a rate-distortion matrix, and
otherwise the largest value of a multistart search: strong evidence, and called so. Where zeros of p(y|x) leave the dual IB more faces
than can be looked at (`dualib.faces`) it is heuristic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dualib._validation import shown, validate_beta
from dualib.distortions import Array, Distortion, as_distortion
from dualib.gap import Kind, judge
from dualib.labels import encoder_rows
from dualib.memory import check_solvable
from dualib.optimise import atoms_of_encoder, optimise
from dualib.problem import Atoms, Problem, expected_distortion, sweep
from dualib.search import search
from dualib.solver import check_options
from dualib.sparse_problem import dense_problem
from dualib.threads import one_blas_thread

if TYPE_CHECKING:
    from dualib.joint import JointDistribution


@dataclass(frozen=True)
class Certificate:
    """What is known of the distance of an encoder from the global optimum.

    Attributes
    ----------
    objective : float
        ``I(X;T) + beta E d`` of the encoder with its own marginal and centroids, nats.
    lower_bound : float
        No encoder and decoder can be below this, nats (as sure as `kind` says).
    gap : float
        ``objective - lower_bound``, at least 0.
    kind : {"rigorous", "multistart", "heuristic"}
        Proved, searched for, or searched for on a part only of the faces of the dual IB.
    witness : ndarray, shape (n_y,)
        The decoder at which the largest c was found: a cluster there would lower the objective where the gap is not 0.
    residual : float
        How far the encoder is from satisfying the self-consistent equations.
    """

    objective: float
    lower_bound: float
    gap: float
    kind: Kind
    witness: Array
    residual: float

    def __repr__(self) -> str:
        return f"Certificate(objective={self.objective:.10g}, gap={self.gap:.1e} nats, {self.kind})"


@one_blas_thread
def certify(
    joint: JointDistribution,
    encoder: npt.ArrayLike,
    beta: float,
    distortion: str | Distortion = "ib",
    *,
    tol: float = 1e-9,
    effort: float = 1.0,
    random_state: int | np.random.Generator | None = None,
) -> Certificate:
    """Bound the distance of anybody's encoder, from any package, to the global optimum.

    Parameters
    ----------
    joint : JointDistribution
    encoder : array_like, shape (n_x, n_t), or of int, shape (n_x,)
        p(t|x), rows summing to 1; or the labels of a hard clustering, the cluster of each x.
    beta : float
        Trade-off, > 0.
    distortion : "ib", "dualib" or Distortion
    tol : float
        Accuracy of a proof, nats.
    effort : float
        Factor on the number of random and pairwise starts of the search.
    random_state : int, Generator or None
        Seed of the search; None is a fixed seed.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value; an encoder of infinite objective.

    Notes
    -----
    The encoder is first judged by the bound at its own weights and centroids. That bound is loose for an encoder far from
    stationary, so the lower bound stated is the better of it and of the one from a full solve.
    """
    beta = validate_beta(beta)
    check_options(tol)
    if isinstance(effort, bool) or not isinstance(effort, (int, float, np.integer, np.floating)) or not 0.0 < effort < np.inf:
        raise ValueError(f"effort must be a positive number, got {shown(effort)}")
    problem = dense_problem(joint, as_distortion(distortion), "certify")
    check_solvable(problem)
    rng = np.random.default_rng(0 if random_state is None else random_state)
    encoder = encoder_rows(problem, encoder)
    atoms = atoms_of_encoder(problem, encoder)
    state = sweep(problem, beta, atoms)
    objective = encoder_objective(problem, encoder, atoms, beta)
    if not np.isfinite(objective):
        raise ValueError("encoder has an infinite objective: some x is in a cluster at infinite distortion")
    maxima = search(problem, beta, state.atoms, state.posterior, state.log_z, rng, effort=effort)
    gap, kind, found = judge(problem, state, maxima, tol)
    bound = state.objective - gap
    if objective - bound > tol:
        outcome = optimise(problem, beta, state.atoms, tol=tol, max_iter=20_000, rng=rng, effort=effort)
        better = outcome.state.objective - outcome.gap
        if better > bound:
            bound, kind = better, outcome.certificate or "multistart"
    witness = problem.decoder(found.points.pick(np.array([0])))[0]
    return Certificate(objective, bound, max(0.0, objective - bound), kind, witness, state.residual)


def encoder_objective(problem: Problem, encoder: npt.ArrayLike, atoms: Atoms, beta: float) -> float:
    """``I(X;T) + beta E d`` of an encoder on the original sources, with its own marginal and centroids `atoms`."""
    rows = np.asarray(encoder, dtype=np.float64)
    live = problem.row_of >= 0
    px, rows = problem.joint.px[live], rows[live] / rows[live].sum(axis=1, keepdims=True)
    weights = px @ rows
    rows = rows[:, weights > 0.0]
    weights = weights[weights > 0.0]
    pairs = np.zeros((len(weights), problem.n))
    np.add.at(pairs.T, problem.row_of[live], px[:, None] * rows)
    posterior = pairs / problem.px
    minus_d = problem.log_terms(atoms, 1.0)
    if (np.isneginf(minus_d) & (posterior > 0.0)).any():
        return np.inf
    ratio = np.divide(rows, weights, out=np.ones_like(rows), where=rows > 0.0)
    rate = float(np.sum(px[:, None] * rows * np.log(ratio)))
    return rate + beta * expected_distortion(problem, atoms, posterior)
