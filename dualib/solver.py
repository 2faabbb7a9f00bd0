"""`solve`: the optimal encoder at one beta, with the certified distance to the global optimum."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import shown, validate_beta
from dualib.assemble import assemble
from dualib.clusters.capped import capped
from dualib.clusters.merging import merged_down
from dualib.distortions import Distortion, as_distortion
from dualib.engine.batch import COARSE, Batch, merged
from dualib.engine.descent import descend, lowest
from dualib.engine.initial import feasible, identity, of_encoder, one_cluster, random_clusters
from dualib.engine.optimum import Optimum, goal_of
from dualib.engine.optimum import certify as certified_optimum
from dualib.engine.problem import Problem
from dualib.engine.rounding import check_beta
from dualib.engine.sweep import Sweep
from dualib.memory import check_solvable
from dualib.results import Status, status_text
from dualib.solutions import Judged, judged, solutions_of
from dualib.solutions import status_of as stated_status
from dualib.sparse_problem import SparseProblem, engine_problem, solves_sparse
from dualib.sparse_solver import is_capped, solve_sparse
from dualib.threads import one_blas_thread
from dualib.warnings import warn_of_convergence

if TYPE_CHECKING:
    from dualib.joint import JointDistribution
    from dualib.optimise import Outcome
    from dualib.results import Solution


@one_blas_thread
def solve(
    joint: JointDistribution,
    beta: float,
    distortion: str | Distortion = "ib",
    *,
    tol: float = 1e-9,
    n_clusters: int | None = None,
    init: npt.ArrayLike | Literal["random"] | None = None,
    n_restarts: int = 10,
    max_iter: int = 20_000,
    certify: bool = True,
    random_state: int | np.random.Generator | None = None,
) -> Solution:
    """Minimise ``I(X;T) + beta E d(x, t)`` and certify how far the answer is from the global minimum.

    Parameters
    ----------
    joint : JointDistribution
        p(x, y), (n_x, n_y).
    beta : float
        Trade-off, > 0.
    distortion : "ib", "dualib" or Distortion
        KL(p(y|x) || p(y|t)) (Tishby, Pereira and Bialek 1999), KL(p(y|t) || p(y|x)) (Piran, Shwartz-Ziv and Tishby 2020), or
        any other of the form in `dualib.distortions`.
    tol : float
        Wanted gap to the global optimum, nats; the residual of the self-consistent equations is brought well below it.
    n_clusters : int, optional
        Cap on the number of clusters: the best found by `n_restarts` seeded searches of hard clusters, which are then softened,
        and from `init` where that is an encoder. With ``certify=True`` the optimum without the cap is computed first: it is the
        answer where it has no more clusters (it never has more than n_x), else one more start, merged down, and the gap is to it:
        what the cap costs. With ``certify=False`` it is not, and the status is ``CAPPED`` where all `n_clusters` are in use.
    init : array (n_x, n_t), array of int (n_x,), "random", optional
        Encoder to start from, or labels, the cluster of each x. The default is the identity, one cluster per source. With
        ``certify=True`` the search goes on from there to the global optimum; with ``certify=False`` the answer is the local optimum
        reached.
    n_restarts : int
        Restarts for `n_clusters` and for ``init="random"``.
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
        `tol` was not reached; the solution states its true residual and gap.

    Examples
    --------
    >>> import dualib
    >>> solution = dualib.solve(dualib.datasets.toy(), beta=8.0)
    >>> solution.n_clusters, round(solution.relevance, 6)
    (2, 0.074305)
    """
    beta = validate_beta(beta)
    check_options(tol, n_clusters=n_clusters, n_restarts=n_restarts, max_iter=max_iter)
    kind = as_distortion(distortion)
    rng = np.random.default_rng(0 if random_state is None else random_state)
    if isinstance(init, str) and init != "random":
        raise ValueError(f"init must be an encoder (n_x, n_t), labels (n_x,), 'random' or None, got {shown(init)}")
    if solves_sparse(joint, kind):
        return _solved_sparse(joint, beta, init, n_clusters, n_restarts, tol, max_iter=max_iter, certify=certify, rng=rng)
    problem = engine_problem(joint, kind, f"distortion {kind!r}")
    check_beta(problem, beta)
    starts = functools.partial(_start, problem, beta, init, n_restarts, rng)
    free = None
    if certify:
        check_solvable(problem)
        free = certified_optimum(problem, _best_start(problem, beta, starts()), tol=tol, most=max_iter, rng=rng)
    if n_clusters is not None and (free is None or len(free.batch.weights) > n_clusters):
        given = None if init is None or isinstance(init, str) else starts()
        solution = _capped(problem, beta, n_clusters, given, n_restarts, free, tol=tol, max_iter=max_iter, rng=rng)
    elif free is not None:
        (solution,) = solutions_of(problem, free.batch, free.sweep, judged(free), tol)
    else:
        solution = _local(problem, starts(), tol=tol, max_iter=max_iter)
    warn_unless_converged(solution, tol, stacklevel=4)
    return solution


def _local(problem: Problem, start: Batch, *, tol: float, max_iter: int) -> Solution:
    """The best local optimum from the solutions of a batch, not certified."""
    fine = feasible(problem, start)
    if not fine.any():
        raise ValueError("no feasible clustering to start from: some x is infinitely far from every cluster")
    ended = lowest(descend(problem, start.pick(fine)[0], goal=goal_of(tol), most=max_iter))
    known = Judged(np.array([np.inf]), [None], ended.taken)
    return solutions_of(problem, ended.batch, ended.sweep, known, tol, certified=False)[0]


def _capped(
    problem: Problem,
    beta: float,
    n_clusters: int,
    given: Batch | None,
    n_restarts: int,
    free: Optimum | None,
    *,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
) -> Solution:
    """The best local optimum found under the cap; its gap is to `free`, the optimum without it, where that was computed."""
    states = [] if free is None else [(free.batch, free.sweep)]
    if given is not None and feasible(problem, given).all():
        states.append((given, Sweep(problem, given)))
    starts = [merged_down(problem, batch, sweep, n_clusters) for batch, sweep in states]
    ended = capped(
        problem,
        beta,
        n_clusters,
        [start for start in starts if start is not None],
        n_restarts,
        tol=tol,
        max_iter=max_iter,
        rng=rng,
    )
    if free is None:
        known = Judged(np.array([np.inf]), [None], ended.taken)
    else:
        gap = np.maximum(0.0, ended.sweep.objective - (free.sweep.objective - free.gap))
        known = Judged(gap, free.kind.tolist(), ended.taken + free.taken)
    # as many clusters as sources are never too few, and fewer than are allowed may be all that are wanted
    binding = free is not None or n_clusters <= len(ended.batch.weights) < problem.n
    return solutions_of(problem, ended.batch, ended.sweep, known, tol, certified=free is not None, capped=binding)[0]


def _start(problem: Problem, beta: float, init: Any, n_restarts: int, rng: np.random.Generator) -> Batch:
    """The identity with the one cluster, the encoder given, or random encoders, each a solution of the batch."""
    if isinstance(init, str):
        return random_clusters(problem, beta, problem.n, n_restarts, rng)
    return _rough(problem, beta) if init is None else of_encoder(problem, [beta], init, "init")


def _best_start(problem: Problem, beta: float, start: Batch) -> Batch:
    """The feasible solution of lowest objective; a rough start where none is feasible."""
    if not feasible(problem, start).any():
        return _rough(problem, beta)
    objective = Sweep(problem, start).objective
    return start.pick(np.arange(len(objective)) == np.argmin(objective))[0]


def _rough(problem: Problem, beta: float) -> Batch:
    """The identity, near sources merged, and the one cluster where that is feasible."""
    start, single = merged(problem, identity(problem, [beta]), COARSE), one_cluster(problem, [beta])
    if problem.fixed or single is None:
        return start
    return start.joined(single.weights, single.means, single.owner, single.face).keep(
        np.ones(len(start.weights) + 1, dtype=bool)
    )


def check_options(tol: Any, **counts: Any) -> None:
    """A positive tolerance, and whole numbers of at least 1 (None where an option may be left out)."""
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.floating)) or not 0.0 < tol < np.inf:
        raise ValueError(f"tol must be a positive number, got {shown(tol)}")
    for name, value in counts.items():
        if value is None and name == "n_clusters":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer, got {shown(value)}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {shown(value)}")


def _solved_sparse(
    joint: JointDistribution, beta: float, init: Any, n_clusters: int | None, n_restarts: int, tol: float, **options: Any
) -> Solution:
    """The solution of a problem that is kept sparse."""
    problem = SparseProblem(joint)
    found = solve_sparse(problem, beta, init, n_clusters, n_restarts, tol=tol, **options)
    return _finish(problem, found, tol, certified=options["certify"], capped=is_capped(found, n_clusters, tol))


def _finish(problem: SparseProblem, outcome: Outcome, tol: float, *, certified: bool, capped: bool) -> Solution:
    """The public solution, and the warning where the tolerance was missed."""
    solution = assemble(problem, outcome, status_of(outcome, tol, certified=certified, capped=capped))
    if solution.status is Status.CONVERGED and solution.gap > tol:  # the gap stated counts what rounding leaves of beta E d
        solution = assemble(problem, outcome, Status.GAP_OPEN)
    warn_unless_converged(solution, tol, stacklevel=6)
    return solution


def status_of(outcome: Outcome, tol: float, *, certified: bool = True, capped: bool = False) -> Status:
    """What the residual and the gap say of an outcome."""
    return stated_status(outcome.state.residual, outcome.gap, tol, certified=certified, capped=capped)


def warn_unless_converged(solution: Solution, tol: float, stacklevel: int = 3) -> None:
    """ConvergenceWarning with beta, gap and remedy where the solution missed `tol`."""
    if solution.status in (Status.MAX_ITER, Status.GAP_OPEN):
        warn_of_convergence(
            f"beta={solution.beta:g}: residual {solution.residual:.1e}, gap {solution.gap:.1e} nats, tol {tol:g}; "
            f"{status_text(solution)}",
            stacklevel=stacklevel,
        )
