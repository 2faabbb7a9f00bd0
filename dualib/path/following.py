"""`follow`: the local branch that a perturb-and-follow annealer takes, past the beta at which it stops being optimal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array, random_generator, validate_beta
from dualib.doors import door
from dualib.engine.batch import Batch, moved
from dualib.engine.choice import problem_of
from dualib.engine.descent import descend
from dualib.engine.initial import feasible, of_atoms
from dualib.engine.optimum import goal_of, judged_state
from dualib.engine.problem import Problem
from dualib.engine.rounding import check_beta
from dualib.engine.sizes import check_solvable
from dualib.engine.stability import softest_tilt, stability
from dualib.engine.starts import members_of
from dualib.engine.sweep import Sweep
from dualib.path.chain import together
from dualib.path.points import at_once
from dualib.results.assembly import judged, solutions_of
from dualib.results.curve import Curve
from dualib.results.solution import Solution
from dualib.solving.solver import check_options

_TILT = 0.1  # relative change of p(x|t) by which the two halves of a cluster start apart
_FALLS = 0.5  # of a residual, by one more descent that is worth it


@door
def follow(
    solution: Solution,
    betas: npt.ArrayLike,
    *,
    tol: float = 1e-9,
    max_iter: int = 20_000,
    random_state: int | np.random.Generator | None = None,
) -> Curve:
    """Go on from a solution by local steps alone, as annealers do that perturb their clusters and follow.

    At each beta the clusters of the step before are the start; one that is locally unstable (its stability number is above 1) is
    replaced by two halves, moved apart a little; then the objective is lowered to a stationary point. Clusters that would be better
    but lie at a distance are never looked for, so the branch stays where it is long after it has stopped being optimal: hysteresis.
    Every point is certified, and states in `gap` how far from the optimum it is.

    Parameters
    ----------
    solution : Solution
        Where to start, of any joint distribution and distortion.
    betas : array_like, shape (m,)
        Trade-offs, visited in the order given.
    tol : float
        Tolerance of the stationary points, and what counts as optimal, nats.
    max_iter : int
        Cap on the sweeps at each beta.
    random_state : int, Generator or None
        Seed of the search behind the gaps.

    Returns
    -------
    Curve
        Ascending in beta. Where a beta is given twice the later visit is kept. No events; those are of the optimal path.

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value.
    MemoryError
        The arrays of the problem cannot fit.

    Examples
    --------
    >>> import dualib
    >>> import numpy as np
    >>> joint = dualib.datasets.case_a()
    >>> trivial = dualib.solve(joint, 1.9)
    >>> curve = dualib.follow(trivial, np.linspace(1.9, 2.2, 4))  # past the onset at 2.0488, before the textbook's critical beta
    >>> curve.n_clusters, bool(curve.gap[-1] > 1e-3)
    (array([1, 1, 1, 1]), True)
    """
    if not isinstance(solution, Solution):
        raise TypeError(f"solution must be a Solution, got {type(solution).__name__}")
    check_options(tol, max_iter=max_iter)
    wanted = [validate_beta(float(beta), "betas") for beta in as_float_array("betas", betas, 1)]
    problem = problem_of(solution.joint, solution.distortion, caller="follow")
    check_solvable(problem)
    check_beta(problem, max(wanted), "betas")
    rng = random_generator(random_state)
    batch = of_atoms(problem, [solution.beta], solution.weights, solution.means, solution.decoder)
    points: dict[float, tuple[Batch, int]] = {}
    for beta in wanted:
        start = _perturbed(problem, moved(batch, beta))
        batch, taken = _at_rest(problem, start, tol, max_iter)
        points[beta] = batch, taken
    return Curve(_judged(problem, points, tol, rng))


def _at_rest(problem: Problem, batch: Batch, tol: float, max_iter: int) -> tuple[Batch, int]:
    """The local minimum below, and the sweeps taken: by more than one descent where means go to 0 slowly, as long as that helps."""
    taken, before = 0, np.inf
    while True:
        ended = descend(problem, batch, goal=goal_of(tol), most=max_iter - taken)
        batch, taken, residual = ended.batch, taken + int(ended.taken[0]), float(ended.sweep.residual[0])
        if residual <= tol or taken >= max_iter or residual > _FALLS * before:
            return batch, taken
        before = residual


def _perturbed(problem: Problem, batch: Batch) -> Batch:
    """The solution, each unstable atom as two halves a little apart."""
    sweep = Sweep(problem, batch)
    unstable = np.flatnonzero(stability(problem, batch, sweep) > 1.0)
    if not len(unstable):
        return batch
    tilts = _TILT * np.array([softest_tilt(problem, batch, sweep, int(t)) for t in unstable])
    members = members_of(problem, sweep)[unstable]
    rows = np.concatenate([members * (1.0 + tilts), members * (1.0 - tilts)])
    means, face, _ = problem.centroids(rows / rows.sum(axis=1, keepdims=True))
    weights = np.tile(0.5 * batch.weights[unstable], 2)
    stable = np.ones(len(batch.weights), dtype=bool)
    stable[unstable] = False
    divided = Batch(
        batch.beta,
        np.append(batch.weights[stable], weights),
        np.concatenate([batch.means[stable], means]),
        np.zeros(int(stable.sum()) + len(weights), dtype=np.int64),
        np.append(batch.face[stable], face),
    )
    return divided if feasible(problem, divided).all() else batch


def _judged(problem: Problem, points: dict[float, tuple[Batch, int]], tol: float, rng: np.random.Generator) -> list[Solution]:
    """The public solutions with their gaps, many at a time, ascending in beta."""
    betas, found = sorted(points), list[Solution]()
    most = at_once(problem)
    for first in range(0, len(betas), most):
        some = [points[beta] for beta in betas[first : first + most]]
        batch = together([part for part, _ in some])
        state = judged_state(problem, batch, Sweep(problem, batch), tol=tol, rng=rng)
        known = judged(state)._replace(taken=np.array([taken for _, taken in some]))
        found += solutions_of(problem, batch, state.sweep, known, tol)
    return found
