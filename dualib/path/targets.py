"""`solve_at`: the optimum at a wanted rate, relevance or expected distortion instead of a beta.

Certified solutions, several betas at a time, close in on the target. Between two of them it lies either on the branch of one, where
its beta is a root to be followed to, or on a jump, where the two branches cross and the target is a mixture of both; else the
interval is divided further. Each answer is judged like any other solution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls
from scipy.special import rel_entr

from dualib._validation import random_generator, shown
from dualib.distortions.interface import Array, Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.engine.batch import EQUAL, Batch, in_order, merged, moved
from dualib.engine.choice import problem_of
from dualib.engine.optimum import Optimum, certify, judged_state, optimum
from dualib.engine.problem import Problem
from dualib.engine.rounding import largest_beta
from dualib.engine.sizes import check_solvable
from dualib.engine.starts import members_of
from dualib.engine.sweep import Sweep
from dualib.path.branch import followed
from dualib.path.crossing import crossing, reach
from dualib.path.onset import onset_of
from dualib.path.points import at_once
from dualib.results.assembly import Judged, judged, solutions_of
from dualib.results.solution import Solution
from dualib.solving.solver import check_options, warn_unless_converged

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_TIGHTER = (
    0.1  # of the tolerance, for the points on the way: the place of a jump is known as well as the objectives on its sides
)
_EXACT = 1e-10  # how near, relative to the range of the quantity, a single beta must come before nothing is mixed
_ROUNDED = 1e-14  # ... and where a root is sought no further
_LARGEST_BETA = 1e5  # what is not reached by then is taken as out of range
_LEAST_BETA = 1e-6  # where the onset is 0
_DOUBLINGS, _INSIDE = 4, 8  # betas solved at once: above what is known, and inside an interval
_LARGER = 1.2  # ... times which a large sparse problem is solved next, whose clusters soon are too many
_NARROW = 1e-12  # in log beta, of an interval that is a jump, wherever in it that may be
_MOST_STEPS = 12  # to a root along a branch
_MISFIT, _NOTHING = 1e-9, 1e-14  # of fewer weights; relative weight that is none


@door
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
        Not exactly one target, or a value outside the open range that the problem can reach; the message states the range. A sparse
        p(x, y) of more than 10 million cells with another distortion than the IB, which would have to be made dense.

    Examples
    --------
    >>> import dualib
    >>> solution = dualib.solve_at(dualib.datasets.erasure(0.3), rate=0.5)
    >>> round(solution.rate, 9), round(solution.relevance, 9)  # on the straight piece, relevance = (1 - e) rate
    (0.5, 0.35)
    """
    name, target = _one_target(rate=rate, relevance=relevance, expected_distortion=expected_distortion)
    check_options(tol, max_iter=max_iter)
    problem = problem_of(joint, as_distortion(distortion), caller="solve_at")
    check_solvable(problem)
    first = onset_of(problem, np.random.default_rng(0))
    if not math.isfinite(first):
        raise ValueError(f"{name}: nothing can be learned here, X and Y are independent; got {shown(target)}")
    rng = random_generator(random_state)
    found = _Search(problem, name, target, tol, max_iter, rng).solution(max(first, _LEAST_BETA))
    warn_unless_converged(found, tol, stacklevel=4)
    return found


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


class _Search:
    """The search for one target on one problem.

    Attributes
    ----------
    ends : Batch
        The two solutions that hold the target between them.
    excess : (2,)
        How far they are beyond the target: at most 0 below, above 0 above.
    gaps : (2,)
        Their certified gaps.
    """

    ends: Batch
    excess: Array
    gaps: Array

    def __init__(
        self, problem: Problem, name: str, target: float, tol: float, max_iter: int, rng: np.random.Generator
    ) -> None:
        self.problem, self.name, self.target, self.tol, self.rng = problem, name, target, tol, rng
        self.options: dict[str, Any] = {"tol": _TIGHTER * tol, "most": max_iter, "rng": rng, "proofs": False}
        self.sign = -1.0 if name == "expected_distortion" else 1.0  # so that all rise with beta
        self.at_once = max(2, at_once(problem))
        self.larger = _LARGER if problem.is_sparse else 2.0
        self.taken = 0

    def solution(self, first: float) -> Solution:
        """The answer, the onset being `first`."""
        self._bracket(0.9 * first)
        scale = float(self.excess[1] - self.excess[0])
        while True:
            near = np.abs(self.excess) <= _EXACT * scale
            if near.any():
                return self._public(self._judged(self.ends.one(int(np.argmax(near)))))
            found = self._on_a_branch(scale) or self._on_a_jump()
            if found is not None:
                return self._public(found)
            if np.log(self.ends.beta[1] / self.ends.beta[0]) <= _NARROW:
                return self._public(self._judged(self._mixed(self.ends.one(0), self.ends.one(1), self.excess)))
            self._divide()

    def _bracket(self, low: float) -> None:
        """Certified solutions on both sides of the target, from just below the onset upward by doubling, or by smaller factors."""
        count = min(_DOUBLINGS, self.at_once)
        most = min(max(_LARGEST_BETA, 2.0**count * low), largest_beta(self.problem))
        betas, least = low * self.larger ** np.arange(count), np.inf
        while True:
            betas = np.unique(np.minimum(betas, most))
            found = optimum(self.problem, betas, **self.options)
            excess = self._excess(found.batch)
            least = min(least, float(excess[0]))
            if least <= 0.0 < excess[-1]:
                break
            self._refuse_too_many(found.batch, float(excess[-1]))
            if betas[-1] == most:
                ends = sorted([self.target + self.sign * least, self.target + self.sign * float(excess[-1])])
                raise ValueError(
                    f"{self.name} must be between {ends[0]:.10g} and {ends[1]:.10g}, the range of this problem, got "
                    f"{shown(self.target)}"
                )
            betas = betas[-1] * self.larger ** np.arange(count) if least <= 0.0 else np.array([most])
        self._take(found.batch, excess, found.gap, int(found.taken.sum()))

    def _refuse_too_many(self, batch: Batch, excess: float) -> None:
        """A target that a large sparse problem does not come to with as many clusters as it may have."""
        most = self.problem.most_atoms
        if self.problem.is_sparse and int(batch.counts.max()) >= most:
            reached = self.target + self.sign * excess
            raise ValueError(
                f"{self.name} must be at {'least' if self.sign < 0.0 else 'most'} {reached:.10g} for this sparse p(x, y), got "
                f"{shown(self.target)}: beyond that it has more than the {most} clusters that a problem kept sparse grows to;"
                " solve and anneal take a cap n_clusters"
            )

    def _take(self, batch: Batch, excess: Array, gaps: Array, taken: int) -> None:
        """Of solutions ascending in beta, the two that hold the target."""
        above = max(1, int(np.argmax(excess > 0.0)))
        self.ends = batch.copied([above - 1, above])[0]
        self.excess, self.gaps = excess[above - 1 : above + 1], gaps[above - 1 : above + 1]
        self.taken += taken

    def _divide(self) -> None:
        """Certified solutions inside, each from the nearer end: all over, and where a straight line has the target."""
        (low, high), (under, over) = np.log(self.ends.beta), self.excess
        inside = np.linspace(low, high, min(_INSIDE, self.at_once) + 2)[1:-1]
        inside = np.unique(np.append(inside, low + (high - low) * under / (under - over)))
        start = self.ends.copied((inside > 0.5 * (low + high)).astype(np.int64))[0]
        found = certify(self.problem, moved(start, np.exp(inside)), coarse=False, **self.options)
        places = np.arange(1, len(inside) + 1)
        batch = in_order([(np.array([0, len(inside) + 1]), self.ends), (places, found.batch)])
        excess = np.concatenate([[under], self._excess(found.batch), [over]])
        self._take(batch, excess, np.insert(self.gaps, 1, found.gap), int(found.taken.sum()))

    @np.errstate(all="ignore")
    def _on_a_branch(self, scale: float) -> Optimum | None:
        """The target on the branch of either end, where that is optimal there; None where it is not."""
        batch, excess, fine = self.ends, self.excess, np.ones(2, dtype=bool)
        (low, high), at = np.log(batch.beta), np.log(batch.beta)
        before, excess_before = at[::-1], excess[::-1]
        for _ in range(_MOST_STEPS):
            slope = (excess_before - excess) / (before - at)
            to = at - excess / slope
            fine &= (slope > 0.0) & (to >= low) & (to <= high)
            moving = fine & (to != at) & (np.abs(excess) > _ROUNDED * scale)
            if not moving.any():
                break
            new, _, arrived = followed(self.problem, batch, np.exp(np.where(moving, to, at)))
            fine &= arrived | ~moving
            before, excess_before = np.where(moving, at, before), np.where(moving, excess, excess_before)
            batch, at, excess = new, np.where(moving, to, at), self._excess(new)
        for end in np.flatnonzero(fine & (np.abs(excess) <= _EXACT * scale)):
            found = self._optimal(batch.one(end))
            if found is not None:
                return found
        return None

    def _on_a_jump(self) -> Optimum | None:
        """The target between two branches where they cross, both optimal there; None where there is no such place."""
        ends = reach(self.problem, self.ends.one(0), self.ends.one(1))
        if not ends.crosses()[0]:
            return None
        found = crossing(self.problem, ends)
        if not np.isfinite(found.log_beta[0]):
            return None
        excess = np.append(self._excess(found.below), self._excess(found.above))
        return self._optimal(self._mixed(found.below, found.above, excess)) if excess[0] <= 0.0 < excess[1] else None

    def _mixed(self, below: Batch, above: Batch, excess: Array) -> Batch:
        """Two optima of one beta, to rounding, mixed in proportion."""
        share = excess[1] / (excess[1] - excess[0])
        weights = np.append(share * below.weights, (1.0 - share) * above.weights)
        means, face = np.concatenate([below.means, above.means]), np.append(below.face, above.face)
        beta = np.sqrt(below.beta * above.beta)
        whole = Batch(beta, weights, means, np.zeros(len(weights), dtype=np.int64), face).keep(weights > 0.0)
        return fewest_atoms(self.problem, merged(self.problem, whole, EQUAL), self.name)

    def _excess(self, batch: Batch) -> Array:
        """How far solutions are beyond the target, (S,)."""
        unknown = Judged(np.full(len(batch.beta), np.inf), [None] * len(batch.beta), np.zeros(len(batch.beta), dtype=np.int64))
        with np.errstate(all="ignore"):
            solutions = solutions_of(self.problem, batch, Sweep(self.problem, batch), unknown, self.tol)
        return self.sign * (np.array([getattr(solution, self.name) for solution in solutions]) - self.target)

    def _judged(self, batch: Batch) -> Optimum:
        return judged_state(self.problem, batch, Sweep(self.problem, batch), tol=self.tol, rng=self.rng)

    def _optimal(self, batch: Batch) -> Optimum | None:
        """One solution judged; None where its gap is above the tolerance, and above those of both ends."""
        found = self._judged(batch)
        return found if found.gap[0] <= max(self.tol, self.gaps.max()) else None

    def _public(self, found: Optimum) -> Solution:
        known = judged(found)._replace(taken=np.array([self.taken]))
        return solutions_of(self.problem, found.batch, found.sweep, known, self.tol)[0]


def fewest_atoms(problem: Problem, batch: Batch, name: str) -> Batch:
    """The same optimum on at most n + 1 atoms, by Caratheodory's theorem: one solution of a wanted rate, distortion or relevance.

    All weights with the same ``L w = Z`` have the same objective; non-negative least squares finds a basic one among them. On a
    straight piece of the curve such weights differ in rate and relevance; one more equation holds the wanted one, the rate for the
    expected distortion.
    """
    if len(batch.weights) <= problem.n + 1:
        return batch
    sweep = Sweep(problem, batch)
    members, marginal = members_of(problem, sweep), problem.px
    if name == "relevance":
        members, marginal = problem.outcomes(members), problem.outcomes(marginal[None, :])[0]
    kept = rel_entr(members, marginal).sum(axis=1)  # by each atom
    scale = max(float(kept.max()), 1e-300)
    system = np.vstack([(sweep.posterior / batch.weights[:, None]).T, kept / scale])
    try:
        weights, misfit = nnls(system, np.append(np.ones(problem.n), batch.weights @ kept / scale))
    except RuntimeError:  # its iteration cap
        return batch
    keep = weights > _NOTHING * weights.max(initial=0.0)
    if misfit >= _MISFIT or not keep.any():
        return batch
    return Batch(batch.beta, weights, batch.means, batch.owner, batch.face).keep(keep)
