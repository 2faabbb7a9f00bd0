"""`solve`: the optimal encoder at one beta, with the certified distance to the global optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import shown, validate_beta
from dualib.assemble import assemble
from dualib.capped import capped, merged_down
from dualib.distortions import Distortion, as_distortion
from dualib.memory import check_solvable
from dualib.optimise import Outcome, atoms_of_encoder, best_local, feasible, initial_atoms, optimise, random_atoms
from dualib.problem import Atoms, Problem, sweep
from dualib.results import Status, status_text
from dualib.sparse_problem import SparseProblem, problem_of
from dualib.sparse_solver import is_capped, solve_sparse
from dualib.threads import one_blas_thread
from dualib.warnings import warn_of_convergence

if TYPE_CHECKING:
    from dualib.joint import JointDistribution
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
    problem = problem_of(joint, as_distortion(distortion))
    rng = np.random.default_rng(0 if random_state is None else random_state)
    if isinstance(problem, SparseProblem):
        found = solve_sparse(problem, beta, init, n_clusters, n_restarts, tol=tol, max_iter=max_iter, certify=certify, rng=rng)
        return _finish(problem, found, tol, certified=certify, capped=is_capped(found, n_clusters, tol))
    if certify:
        check_solvable(problem)
    if isinstance(init, str) and init != "random":
        raise ValueError(f"init must be an encoder (n_x, n_t), labels (n_x,), 'random' or None, got {shown(init)}")
    starts = _starts(problem, init, n_restarts, rng)
    outcome = None
    if certify:
        outcome = optimise(problem, beta, _best_start(problem, beta, starts), tol=tol, max_iter=max_iter, rng=rng)
    if n_clusters is not None and (outcome is None or len(outcome.state.atoms) > n_clusters):
        starts = [] if init is None or isinstance(init, str) else starts
        outcome = _capped(problem, beta, n_clusters, starts, n_restarts, outcome, tol=tol, max_iter=max_iter, rng=rng)
        # as many clusters as sources are never too few, and fewer than are allowed may be all that are wanted
        binding = certify or n_clusters <= len(outcome.state.atoms) < problem.n
        return _finish(problem, outcome, tol, certified=certify, capped=binding)
    if outcome is None:
        outcome = best_local(problem, beta, starts, tol, max_iter)
    return _finish(problem, outcome, tol, certified=certify)


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


def _starts(problem: Problem, init: Any, n_restarts: int, rng: np.random.Generator) -> list[Atoms]:
    """The list of starts: the identity with the one cluster, the encoder given, or random encoders."""
    if isinstance(init, str):
        return [random_atoms(problem, problem.n, rng) for _ in range(n_restarts)]
    return [initial_atoms(problem) if init is None else atoms_of_encoder(problem, init, "init")]


def _best_start(problem: Problem, beta: float, starts: list[Atoms]) -> Atoms:
    """The feasible start of lowest objective; the identity start where none is feasible."""
    candidates = [start.normalised() for start in starts if feasible(problem, start)]
    if len(candidates) < 2:
        return candidates[0] if candidates else initial_atoms(problem)
    return min(candidates, key=lambda start: sweep(problem, beta, start).objective)


def _capped(
    problem: Problem,
    beta: float,
    n_clusters: int,
    starts: list[Atoms],
    n_restarts: int,
    free: Outcome | None,
    *,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
) -> Outcome:
    """The best local optimum found under the cap; its gap is to `free`, the optimum without it, where that was computed."""
    states = [] if free is None else [free.state]
    states += [sweep(problem, beta, start.normalised()) for start in starts if feasible(problem, start)]
    starts = [atoms for state in states for atoms in merged_down(problem, state, n_clusters)]
    local = capped(problem, beta, n_clusters, starts, n_restarts, tol=tol, max_iter=max_iter, rng=rng)
    if free is None:
        return local
    gap = max(0.0, local.state.objective - (free.state.objective - free.gap))
    return Outcome(local.state, gap, free.certificate, free.maxima, local.n_iter + free.n_iter)


def _finish(problem: Problem, outcome: Outcome, tol: float, *, certified: bool = True, capped: bool = False) -> Solution:
    """The public solution, and the warning where the tolerance was missed."""
    solution = assemble(problem, outcome, status_of(outcome, tol, certified=certified, capped=capped))
    if solution.status is Status.CONVERGED and solution.gap > tol:  # the gap stated counts what rounding leaves of beta E d
        solution = assemble(problem, outcome, Status.GAP_OPEN)
    warn_unless_converged(solution, tol, stacklevel=5)
    return solution


def status_of(outcome: Outcome, tol: float, *, certified: bool = True, capped: bool = False) -> Status:
    """What the residual and the gap say of an outcome."""
    if outcome.state.residual > max(tol, 1e-11):
        return Status.MAX_ITER
    if capped:
        return Status.CAPPED
    if not certified:
        return Status.NOT_CERTIFIED
    return Status.CONVERGED if outcome.gap <= tol else Status.GAP_OPEN


def warn_unless_converged(solution: Solution, tol: float, stacklevel: int = 3) -> None:
    """ConvergenceWarning with beta, gap and remedy where the solution missed `tol`."""
    if solution.status in (Status.MAX_ITER, Status.GAP_OPEN):
        warn_of_convergence(
            f"beta={solution.beta:g}: residual {solution.residual:.1e}, gap {solution.gap:.1e} nats, tol {tol:g}; "
            f"{status_text(solution)}",
            stacklevel=stacklevel,
        )
