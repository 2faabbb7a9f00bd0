"""`follow`: the local branch that a perturb-and-follow annealer takes, past the beta at which it stops being optimal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array, validate_beta
from dualib.assemble import assemble
from dualib.branch import halves
from dualib.curvature import stability_numbers
from dualib.local import polish
from dualib.memory import check_solvable
from dualib.optimise import Outcome, certified, feasible, sort_atoms
from dualib.problem import Atoms, Problem, join, sweep
from dualib.results import Curve, Solution
from dualib.solver import check_options, status_of
from dualib.sparse_problem import dense_problem
from dualib.threads import one_blas_thread

if TYPE_CHECKING:
    from dualib.results import Solution as Start


@one_blas_thread
def follow(
    solution: Start,
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
        The dense arrays of the problem cannot fit: a sparse one may have been solved without them.
    """
    if not isinstance(solution, Solution):
        raise TypeError(f"solution must be a Solution, got {type(solution).__name__}")
    check_options(tol, max_iter=max_iter)
    wanted = [validate_beta(float(beta), "betas") for beta in as_float_array("betas", betas, 1)]
    problem = dense_problem(solution.joint, solution.distortion, "follow")
    check_solvable(problem)
    rng = np.random.default_rng(0 if random_state is None else random_state)
    face = None if solution.distortion.support is None else solution.decoder > 0.0
    atoms = Atoms(solution.weights, solution.means, face)
    atoms = atoms.pick(atoms.weights > 0.0).normalised()
    points: dict[float, Solution] = {}
    for beta in wanted:
        local = polish(problem, beta, _perturbed(problem, beta, atoms), tol=max(1e-2 * tol, 1e-13), max_iter=max_iter)
        gap, certificate, maxima, _ = certified(problem, local.state, None, tol=tol, rng=rng)
        outcome = Outcome(sort_atoms(problem, local.state), gap, certificate, maxima, local.n_iter)
        points[beta] = assemble(problem, outcome, status_of(outcome, tol))
        atoms = outcome.state.atoms
    return Curve(list(points.values()))


def _perturbed(problem: Problem, beta: float, atoms: Atoms) -> Atoms:
    """The atoms, each unstable one as two halves a little apart."""
    if problem.distortion.fixed_atoms:
        return atoms
    state = sweep(problem, beta, atoms)
    result = state.atoms
    for t in np.flatnonzero(stability_numbers(problem, state) > 1.0)[::-1]:
        keep = np.arange(len(result)) != t
        result = join(result.pick(keep), halves(problem, state, int(t)))
    return result.normalised() if feasible(problem, result) else atoms
