"""`solve_at`: the optimum at a wanted rate, relevance or expected distortion instead of a beta."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from dualib._validation import shown
from dualib.assemble import assemble
from dualib.critical import onset_of
from dualib.distortions import Distortion, as_distortion
from dualib.gap import judge
from dualib.local import tidy
from dualib.memory import check_solvable
from dualib.old_path import Path
from dualib.optimise import Outcome, sort_atoms
from dualib.problem import Atoms, Sweep, join, sweep
from dualib.search import search
from dualib.solver import check_options, status_of, warn_unless_converged
from dualib.sparse_problem import dense_problem
from dualib.threads import one_blas_thread
from dualib.warnings import convergence_collected
from dualib.weights import fewest_atoms

if TYPE_CHECKING:
    from dualib.joint import JointDistribution
    from dualib.results import Solution

_TIGHTER = (
    0.1  # of the tolerance, for the points on the way: the place of a jump is known as well as the objectives on its sides
)
_EXACT = 1e-10  # how near, relative to the range of the quantity, a single beta must come before nothing is mixed
_LARGEST_BETA = 1e5  # what is not reached by then is taken as out of range


@one_blas_thread
def solve_at(
    joint: JointDistribution,
    distortion: str | Distortion = "ib",
    *,
    rate: float | None = None,
    relevance: float | None = None,
    expected_distortion: float | None = None,
    tol: float = 1e-9,
    max_iter: int = 20_000,
    random_state: int | np.random.Generator | None = None,
) -> Solution:
    """The optimal solution with a wanted rate, relevance or expected distortion; exactly one of the three is given.

    Rate and relevance rise with beta and the expected distortion falls, so beta is found by bracketing, every solve certified. Where
    the curve has a straight piece (a jump) no beta has the wanted value; its two ends are then mixed: with probability s use one,
    else the other, independently of x, which is optimal too and has rate, relevance and distortion in between, linearly in s.

    Parameters
    ----------
    joint : JointDistribution
    distortion : "ib", "dualib" or Distortion
    rate, relevance : float, optional
        Wanted I(X;T) or I(T;Y), nats.
    expected_distortion : float, optional
        Wanted E d, in the unit of the distortion.
    tol : float
        Wanted gap, nats.
    max_iter, random_state
        As in `dualib.solve`.

    Returns
    -------
    Solution
        Its `beta` is the slope of the trade-off there.

    Raises
    ------
    ValueError, TypeError
        Not exactly one target, or a value outside the open range that the problem can reach; the message states the range.

    Examples
    --------
    >>> import dualib
    >>> solution = dualib.solve_at(dualib.datasets.erasure(0.3), rate=0.5)
    >>> round(solution.rate, 9), round(solution.relevance, 9)  # on the straight piece, relevance = (1 - e) rate
    (0.5, 0.35)
    """
    name, target = _one_target(rate=rate, relevance=relevance, expected_distortion=expected_distortion)
    check_options(tol, max_iter=max_iter)
    problem = dense_problem(joint, as_distortion(distortion), "solve_at")
    check_solvable(problem)
    rng = np.random.default_rng(0 if random_state is None else random_state)
    path = Path(problem, _TIGHTER * tol, max_iter, rng, prove=False)
    first = onset_of(problem, rng)
    if not math.isfinite(first):
        raise ValueError(f"{name}: nothing can be learned here, X and Y are independent; got {shown(target)}")
    with convergence_collected():  # of the betas tried on the way, and forgotten; the answer's own is raised
        solution = _search(path, name, target, max(first, 1e-6), tol)
    warn_unless_converged(solution, tol)
    return solution


def _search(path: Path, name: str, target: float, first: float, tol: float) -> Solution:
    low, high = _bracket(path, name, target, first)
    scale = abs(_value(path.solution(high), name) - _value(path.solution(low), name))

    def excess(log_beta: float) -> float:
        beta = math.exp(log_beta)
        if beta not in path.outcomes:
            path.solve(beta, min(path.outcomes, key=lambda other: abs(math.log(other) - log_beta)))
        difference = _value(path.solution(beta), name) - target
        return 0.0 if abs(difference) <= _EXACT * scale else difference

    found = math.exp(brentq(excess, math.log(low), math.log(high), xtol=1e-12, rtol=1e-15, maxiter=200, disp=False))
    best = min(path.outcomes, key=lambda beta: (abs(_value(path.solution(beta), name) - target), abs(beta - found)))
    if abs(_value(path.solution(best), name) - target) <= _EXACT * scale:
        return _judged(path, best, path.outcomes[best].state, tol)
    return _mixed(path, name, target, tol)


def _one_target(**targets: float | None) -> tuple[str, float]:
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) != 1:
        raise ValueError(f"give exactly one of rate, relevance and expected_distortion, got {sorted(given) or 'none'}")
    name, value = given.popitem()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    return name, float(value)


def _value(solution: Solution, name: str) -> float:
    return float(getattr(solution, name))


def _bracket(path: Path, name: str, target: float, first: float) -> tuple[float, float]:
    """Betas on both sides of the target, from just below the onset upward by doubling."""
    sign = -1.0 if name == "expected_distortion" else 1.0
    low = 0.9 * first
    path.solve(low)
    at_low = _value(path.solution(low), name)
    high, latest = low, at_low
    while high < _LARGEST_BETA:
        if sign * (latest - target) >= 0.0 and high > low:
            if sign * (at_low - target) > 0.0:
                break
            return low, high
        start = high
        high *= 2.0
        path.solve(high, start)
        latest = _value(path.solution(high), name)
        if sign * (latest - target) < 0.0:
            low, at_low = high, latest
    ends = sorted([_value(path.solution(min(path.outcomes)), name), latest])
    raise ValueError(
        f"{name} must be between {ends[0]:.10g} and {ends[1]:.10g}, the range of this problem, got {shown(target)}"
    )


def _mixed(path: Path, name: str, target: float, tol: float) -> Solution:
    """The two ends of the straight piece that holds the target, mixed in proportion."""
    problem = path.problem
    betas = sorted(path.outcomes)
    crossed = [
        (one, other)
        for one, other in itertools.pairwise(betas)
        if (_value(path.solution(one), name) > target) != (_value(path.solution(other), name) > target)
    ]
    one, other = min(crossed, key=lambda ends: ends[1] / ends[0])
    values = [_value(path.solution(beta), name) for beta in (one, other)]
    share = (target - values[1]) / (values[0] - values[1])
    beta = math.sqrt(one * other)
    parts = [path.outcomes[end].state.atoms for end in (one, other)]
    atoms = join(_scaled(parts[0], share), _scaled(parts[1], 1.0 - share))
    atoms = fewest_atoms(problem, tidy(problem, beta, atoms), beta, keep_rate=True)
    state = sort_atoms(problem, sweep(problem, beta, atoms))
    return _judged(path, beta, state, tol)


def _judged(path: Path, beta: float, state: Sweep, tol: float) -> Solution:
    """The public solution of a state, its gap proved where that is to be had."""
    problem = path.problem
    maxima = search(problem, beta, state.atoms, state.posterior, state.log_z, path.rng)
    gap, certificate, found = judge(problem, state, maxima, tol)
    outcome = Outcome(state, gap, certificate, found, sum(outcome.n_iter for outcome in path.outcomes.values()))
    return assemble(problem, outcome, status_of(outcome, tol))


def _scaled(atoms: Atoms, share: float) -> Atoms:
    return Atoms(share * atoms.weights, atoms.means, atoms.face)
