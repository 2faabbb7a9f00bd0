"""How far is an encoder from the global optimum? The duality gap, searched for or proved.

For any weights and decoders (w, r) with normaliser Z, and ``c(s) = sum_x p(x) exp(-beta d(x, s)) / Z(x)``,

    G(w, r) - log max_s c(s)  <=  F(beta)  <=  G(w, r)

because for any other mixing measure w' the objective is at least ``G - log sum_s w'(s) c(s)`` (Jensen). The maximum is proved
by branch and bound for the IB and the dual IB with at most four y (the IB: or four x), exact for a rate-distortion matrix, and
otherwise the largest value of a multistart search: strong evidence, and called so. Where zeros of p(y|x) leave the dual IB more
faces than can be looked at (`dualib.engine.faces`) it is heuristic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from dualib._validation import random_generator, validate_alpha, validate_beta, validate_positive
from dualib.distortions.interface import Array, Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.encoders import encoder_rows
from dualib.engine.batch import Batch
from dualib.engine.choice import problem_of
from dualib.engine.costs import encoder_costs
from dualib.engine.initial import of_encoder
from dualib.engine.judge import Kind
from dualib.engine.optimum import certify as optimum_from
from dualib.engine.optimum import judged_state
from dualib.engine.problem import Problem
from dualib.engine.rounding import check_beta, rounding
from dualib.engine.sizes import check_solvable
from dualib.engine.sweep import Sweep, residuals
from dualib.information.entropies import entropy_of
from dualib.solving.solver import check_options

if TYPE_CHECKING:
    from dualib.joint import JointDistribution


@dataclass(frozen=True)
class Certificate:
    """What is known of the distance of an encoder from the global optimum.

    Attributes
    ----------
    objective : float
        ``H(T) - alpha H(T|X) + beta E d`` of the encoder with its own marginal and centroids, nats: by default its
        ``I(X;T) + beta E d``.
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

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.toy()
    >>> found = dualib.certify(joint, [0, 0, 1, 1, 1], beta=8.0)  # two hard clusters
    >>> found.kind, round(found.gap, 6)
    ('rigorous', 0.14024)
    """

    objective: float
    lower_bound: float
    gap: float
    kind: Kind
    witness: Array
    residual: float

    def __repr__(self) -> str:
        return f"Certificate(objective={self.objective:.10g}, gap={self.gap:.1e} nats, {self.kind})"


@door
def certify(
    joint: JointDistribution,
    encoder: npt.ArrayLike,
    beta: float,
    distortion: str | Distortion = "ib",
    *,
    alpha: float = 1.0,
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
    alpha : float
        Price of randomness, from 0 to 1: the objective is ``H(T) - alpha H(T|X) + beta E d``. The lower bound is that of alpha = 1,
        for H(T|X) >= 0: at alpha below 1 part of the gap is left at the optimum, too.
    tol : float
        Accuracy of a proof, nats.
    effort : float
        Factor on the number of random starts of the search: pairs of x, and where p(y|x) has zeros subsets of them.
    random_state : int, Generator or None
        Seed of the search; None is a fixed seed.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value; an encoder of infinite objective; a sparse p(x, y) of more than 10 million cells with
        another distortion than the IB, which would have to be made dense.

    Notes
    -----
    The encoder is first judged by the bound at its own weights and centroids. That bound is loose for an encoder far from
    stationary, so the lower bound stated is the better of it and of the one from a full solve.

    A sparse p(x, y) of the IB with more than 100,000 cells stays sparse: its search starts from a bounded number of points, and the
    kind is "multistart".

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.toy()
    >>> solution = dualib.solve(joint, 8.0)
    >>> dualib.certify(joint, solution.encoder, 8.0).gap < 1e-9
    True
    >>> round(dualib.certify(joint, [0, 0, 1, 1, 1], 8.0).gap, 6)  # hard clusters
    0.14024
    """
    beta, alpha = validate_beta(beta), validate_alpha(alpha)
    check_options(tol)
    effort = validate_positive("effort", effort)
    problem = problem_of(joint, as_distortion(distortion), caller="certify")
    check_beta(problem, beta)
    check_solvable(problem)
    rng = random_generator(random_state)
    encoder = encoder_rows(encoder, joint.n_x, problem.k if problem.fixed else None)
    batch = of_encoder(problem, [beta], encoder, "encoder")
    sweep = Sweep(problem, batch)
    objective = encoder_objective(problem, encoder, batch, alpha)
    if not np.isfinite(objective):
        raise ValueError("encoder has an infinite objective: some x is in a cluster at infinite distortion")
    own = judged_state(problem, batch, sweep, tol=tol, rng=rng, effort=effort)
    kind, bound = str(own.kind[0]), float(sweep.objective[0] - own.gap[0])
    if objective - bound > tol:
        found = optimum_from(problem, batch, tol=tol, rng=rng, effort=effort, coarse=False)
        better = float(found.sweep.objective[0] - found.gap[0])
        if better > bound or found.gap[0] <= tol:  # a large gap is searched for no further than it takes to see that it is
            bound, kind = better, str(found.kind[0])
    bound = min(bound, objective) - float(rounding(problem, batch, sweep)[0])
    witness = problem.decoder(own.best.means, own.best.face)[0]
    if problem.is_sparse:  # at its own centroids, with nothing of everything else
        batch = of_encoder(problem, [beta], encoder, "encoder", little=0.0)
        sweep = Sweep(problem, batch)
    residual = float(residuals(problem, batch, sweep)[0])
    return Certificate(objective, bound, objective - bound, cast(Kind, kind), witness, residual)


def encoder_objective(problem: Problem, encoder: npt.ArrayLike, batch: Batch, alpha: float = 1.0) -> float:
    """``H(T) - alpha H(T|X) + beta E d`` of an encoder on the original sources, with its own marginal and centroids.

    `batch` is that encoder as one solution.
    """
    rows = np.asarray(encoder, dtype=np.float64)
    rate, distortion = encoder_costs(problem, rows, batch)
    if alpha != 1.0:
        weights = problem.joint.px @ (rows / rows.sum(axis=1, keepdims=True))
        rate = (1.0 - alpha) * entropy_of(weights) + alpha * rate
    return rate + float(batch.beta[0]) * distortion
