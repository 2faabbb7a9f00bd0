"""`solve`: the optimal encoder at one beta, with the certified distance to the global optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import random_generator, shown, validate_alpha, validate_beta, validate_positive
from dualib.clusters.bound import floor_of, most_relevance_of
from dualib.distortions.interface import Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.engine.batch import Batch
from dualib.engine.choice import problem_of
from dualib.engine.descent import descend, lowest
from dualib.engine.initial import feasible, of_encoder, one_cluster, random_clusters, rough
from dualib.engine.optimum import certify as certified_optimum
from dualib.engine.optimum import goal_of
from dualib.engine.problem import Problem
from dualib.engine.rounding import check_beta
from dualib.engine.sizes import check_solvable
from dualib.engine.sweep import Sweep
from dualib.results.assembly import Judged, judged, solutions_of
from dualib.results.solution import status_text
from dualib.results.status import Status
from dualib.solving.clustered import Task, clustered
from dualib.warnings import warn_of_convergence

if TYPE_CHECKING:
    from dualib.joint import JointDistribution
    from dualib.results.solution import Solution


@door
def solve(
    joint: JointDistribution,
    beta: float,
    distortion: str | Distortion = "ib",
    *,
    alpha: float = 1.0,
    tol: float = 1e-9,
    n_clusters: int | None = None,
    init: npt.ArrayLike | Literal["random"] | None = None,
    n_restarts: int = 10,
    max_iter: int = 20_000,
    certify: bool = True,
    random_state: int | np.random.Generator | None = None,
) -> Solution:
    """Minimise ``H(T) - alpha H(T|X) + beta E d(x, t)``, ``I(X;T) + beta E d`` by default, and certify how good the answer is.

    Parameters
    ----------
    joint : JointDistribution
        p(x, y), (n_x, n_y).
    beta : float
        Trade-off, > 0.
    distortion : "ib", "dualib" or Distortion
        KL(p(y|x) || p(y|t)) (Tishby, Pereira and Bialek 1999), KL(p(y|t) || p(y|x)) (Piran, Shwartz-Ziv and Tishby 2020), or
        any other of the form in `dualib.distortions`.
    alpha : float
        Price of randomness, from 0 to 1 (Strouse and Schwab 2017). 1 is the Information Bottleneck, or another of its kind; 0 the
        deterministic one: hard clusters, with the entropy H(T) in place of the rate. Below 1 the answer is the best that restarts
        found, and the gap is to the optimum at alpha = 1, a lower bound for every alpha: part of it is left at the best answer, too,
        and no warning is given of it. (Two y and alpha = 0: found exactly, and the gap is 0.)
    tol : float
        Wanted gap to the global optimum, nats; the residual of the self-consistent equations is brought well below it.
    n_clusters : int, optional
        Cap K on the number of clusters: the best found by `n_restarts` seeded searches of hard clusters, which are then softened,
        and from `init` where that is an encoder; never above that. With ``certify=True`` the optimum without the cap is computed
        first: it is the answer where it has no more clusters (it never has more than n_x), else one more start, merged down, and
        what the cap costs beside it is `Solution.cap_cost`. The gap is to a bound for K clusters, see Notes. With ``certify=False``
        none of this is, and the status is ``CAPPED`` where all `n_clusters` are in use.
    init : array (n_x, n_t), array of int (n_x,), "random", optional
        Encoder to start from, or labels, the cluster of each x. The default is the identity, one cluster per source. With
        ``certify=True`` the search goes on from there to the global optimum; with ``certify=False`` the answer is the local optimum
        reached.
    n_restarts : int
        Restarts for `n_clusters`, for alpha below 1, and for ``init="random"``; what each came to is in `Solution.restarts`. Large
        problems have fewer.
    max_iter : int
        Cap on the number of sweeps.
    certify : bool
        Search for a better optimum, and bound the distance to the best. Without it the gap is inf.
    random_state : int, Generator or None
        Seed of the search's random starts; None is a fixed seed, so that results repeat.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value; no feasible clustering.

    Warns
    -----
    ConvergenceWarning
        `tol` was not reached; the solution states its true residual and gap. Not where a gap is left to a bound for K clusters or
        for every alpha.

    Notes
    -----
    K clusters have a rate of at most log K, so for every beta' <= beta, F being the optimum without a cap, their objective is at
    least ``log K + beta (F(beta') - log K) / beta'``. F is certified at some beta' besides beta, until that is as large as it gets.
    Of a large sparse p(x, y) it is not, and the bound is what a search at beta itself, and data processing, tell.

    Examples
    --------
    >>> import dualib
    >>> solution = dualib.solve(dualib.datasets.toy(), beta=8.0)
    >>> solution.n_clusters, round(solution.relevance, 6)
    (2, 0.074305)
    """
    beta, alpha = validate_beta(beta), validate_alpha(alpha)
    check_options(tol, n_clusters=n_clusters, n_restarts=n_restarts, max_iter=max_iter)
    kind = as_distortion(distortion)
    rng = random_generator(random_state)
    if isinstance(init, str) and init != "random":
        raise ValueError(f"init must be an encoder (n_x, n_t), labels (n_x,), 'random' or None, got {shown(init)}")
    problem = problem_of(joint, kind, n_clusters)
    check_beta(problem, beta)
    if certify:
        check_solvable(problem)
    given = None if init is None or isinstance(init, str) else _given(problem, beta, init, n_clusters)
    free = None
    if certify and not (problem.is_sparse and n_clusters is not None):
        start = _best_start(problem, beta, given or _start(problem, beta, init, n_restarts, rng), rng)
        free = certified_optimum(problem, start, tol=tol, most=max_iter, rng=rng)
    over = n_clusters is not None and (free is None or len(free.batch.weights) > n_clusters)
    if alpha < 1.0 or over:
        task = Task(problem, beta, alpha, n_clusters, n_restarts, certify, tol, max_iter, rng)
        solution = clustered(task, free, [] if given is None else [given])
    elif free is not None:
        most = len(free.batch.weights) if n_clusters is None else n_clusters
        beside = {"relevance_bound": most_relevance_of(problem, [floor_of(free)], most)}
        (solution,) = solutions_of(problem, free.batch, free.sweep, judged(free), tol, beside=beside)
    else:
        solution = _local(problem, given or _start(problem, beta, init, n_restarts, rng), tol=tol, max_iter=max_iter)
    warn_unless_converged(solution, tol, stacklevel=4)
    return solution


def _local(problem: Problem, start: Batch, *, tol: float, max_iter: int) -> Solution:
    """The best local optimum from the solutions of a batch, not certified."""
    fine = feasible(problem, start)
    if not fine.any():
        raise ValueError("no feasible clustering to start from: some x is infinitely far from every cluster")
    ends = descend(problem, start.pick(fine)[0], goal=goal_of(tol), most=max_iter, steps=max_iter)
    ended, restarts = lowest(ends), sorted(ends.sweep.objective.tolist())
    known = Judged(np.array([np.inf]), [None], ended.taken)
    beside = {"restarts": tuple(restarts) if len(restarts) > 1 else ()}
    return solutions_of(problem, ended.batch, ended.sweep, known, tol, certified=False, beside=beside)[0]


def _given(problem: Problem, beta: float, init: npt.ArrayLike, n_clusters: int | None) -> Batch:
    """The encoder given, as a solution."""
    given = of_encoder(problem, [beta], init, "init")
    if problem.is_sparse and n_clusters is not None and len(given.weights) > n_clusters:
        raise ValueError(f"init must have at most n_clusters = {n_clusters} clusters, got {len(given.weights)}")
    return given


def _start(problem: Problem, beta: float, init: Any, n_restarts: int, rng: np.random.Generator) -> Batch:
    """The rough start with the one cluster, or random encoders, each a solution of the batch."""
    return _rough(problem, beta, rng) if init is None else random_clusters(problem, beta, problem.n, n_restarts, rng)


def _best_start(problem: Problem, beta: float, start: Batch, rng: np.random.Generator) -> Batch:
    """The feasible solution of lowest objective; a rough start where none is feasible."""
    if not feasible(problem, start).any():
        return _rough(problem, beta, rng)
    objective = Sweep(problem, start).objective
    return start.pick(np.arange(len(objective)) == np.argmin(objective))[0]


def _rough(problem: Problem, beta: float, rng: np.random.Generator) -> Batch:
    """A rough start and the one cluster, where that is feasible and not there yet."""
    start, single = rough(problem, [beta], rng), one_cluster(problem, [beta])
    if problem.fixed or problem.is_sparse or single is None:
        return start
    return start.joined(single.weights, single.means, single.owner, single.face).keep(
        np.ones(len(start.weights) + 1, dtype=bool)
    )


def check_options(tol: Any, **counts: Any) -> None:
    """A positive tolerance, and whole numbers of at least 1 (None where an option may be left out)."""
    validate_positive("tol", tol)
    for name, value in counts.items():
        if value is None and name == "n_clusters":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer, got {shown(value)}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {shown(value)}")


def warn_unless_converged(solution: Solution, tol: float, stacklevel: int) -> None:
    """ConvergenceWarning with beta, gap and remedy where the solution missed `tol`."""
    if solution.status in (Status.MAX_ITER, Status.GAP_OPEN):
        warn_of_convergence(
            f"beta={solution.beta:g}: residual {solution.residual:.1e}, gap {solution.gap:.1e} nats, tol {tol:g}; "
            f"{status_text(solution)}",
            stacklevel=stacklevel,
        )
