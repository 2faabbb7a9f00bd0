"""The global loop on the reduced problem, and the places to start it from.

Weights by a convex step, weights and decoders jointly by `local.polish`, then `search.search` for points where the gradient
function exceeds 1; they become atoms, and so on until none is left. Adding a point always lowers the objective and the problem
over measures is convex, so this cannot end in a local optimum that the search sees through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualib.ascent import log_c
from dualib.branch import touching
from dualib.distortions import Array
from dualib.gap import Kind, judge, provable
from dualib.labels import encoder_rows
from dualib.local import coalesce, merge_atoms, needed, polish, tidy
from dualib.problem import Atoms, Problem, Sweep, column_of, identity_atoms, join, sweep, trivial_atoms
from dualib.search import Maxima, by_height, search
from dualib.weights import fewest_atoms, reweight

MAX_ROUNDS = 40
_HASTY_ROUNDS = 3  # in which a crawling polish gives way to a search
_ROUNDING = 1e-12  # the objective may rise by this much, relative, on fewer atoms
_TWINS = 1e-9  # squared natural distance of two decoders that are one
WEIGHTLESS = 1e-14  # weight that is rounding, of weights that sum to 1
_MISSED = 1e-11  # log c at a cluster that was left out, above which it is missed
_SEED = 1e-3  # weight of a cluster that was lost before
_GLANCE = 0.2  # the effort of such a search
_CAN_RISE = -0.1  # log c below this stays below 0 over a step of 2e-7 in log beta, for beta d up to 1e5
_NO_POINTS = Maxima(Atoms(np.zeros(0), np.zeros((0, 0)), None), np.zeros(0))


@dataclass(frozen=True)
class Outcome:
    """The end of a solve on the reduced problem.

    Attributes
    ----------
    state : Sweep
        Sorted by falling weight.
    gap : float
        Bound on log max c, nats; inf where nothing was certified.
    certificate : "rigorous", "multistart", "heuristic" or None
    maxima : Maxima
        What the last search found: starts for a neighbouring beta.
    n_iter : int
        Sweeps spent.
    grown : bool
        Whether the search found a cluster that was missing; it may have been missing at the betas before, too.
    """

    state: Sweep
    gap: float
    certificate: Kind | None
    maxima: Maxima
    n_iter: int
    grown: bool = False

    @property
    def violation(self) -> float:
        """The largest log c found: at most `gap`, which a proof states with its own tolerance on top."""
        return max(0.0, self.maxima.best)


def initial_atoms(problem: Problem) -> Atoms:
    """The identity start together with the one-cluster start, where that is feasible."""
    if problem.distortion.fixed_atoms:
        return identity_atoms(problem)
    return join(identity_atoms(problem), trivial_atoms(problem)).normalised()


def feasible(problem: Problem, atoms: Atoms) -> bool:
    """Whether every source is at a finite distance from some atom."""
    return len(atoms) > 0 and bool(problem.allowed(atoms.face).any(axis=0).all())


def random_atoms(problem: Problem, size: int, rng: np.random.Generator) -> Atoms:
    """`size` atoms at random sources, drawn without replacement by p(x), each softened by a little of everything."""
    if problem.distortion.fixed_atoms:
        columns = identity_atoms(problem)
        return columns.pick(rng.choice(len(columns), min(size, len(columns)), replace=False)).normalised()
    chosen = rng.choice(problem.n, size, replace=False, p=problem.px)
    labels = rng.permutation(np.concatenate([np.arange(size), rng.integers(0, size, problem.n - size)]))
    members = np.zeros((size, problem.n))
    members[labels, np.arange(problem.n)] = problem.px
    members /= members.sum(axis=1, keepdims=True)
    members = 0.5 * members
    members[np.arange(size), chosen] += 0.5
    return problem.atoms_from_members(members)


def atoms_of_encoder(problem: Problem, encoder: npt.ArrayLike, name: str = "encoder") -> Atoms:
    """Weights and centroids of an encoder (n_x, n_t), or of labels (n_x,); clusters without weight are left out.

    Raises
    ------
    ValueError
        A wrong shape, rows that are no distributions, or a cluster whose members share no support (dual IB).
    """
    rows = encoder_rows(problem, encoder, name)
    live = problem.row_of >= 0
    pairs = np.zeros((problem.n, rows.shape[1]))
    np.add.at(pairs, problem.row_of[live], problem.joint.px[live, None] * rows[live])
    weights = pairs.sum(axis=0)
    members = (pairs[:, weights > 0.0] / weights[weights > 0.0]).T
    if problem.distortion.fixed_atoms:
        return _atoms_of_columns(problem, rows, weights, name)
    atoms = problem.atoms_from_members(np.ascontiguousarray(members), weights[weights > 0.0])
    if len(atoms) < len(members):
        raise ValueError(f"{name}: a cluster joins conditionals without a common support, so its distortion is infinite")
    return atoms.normalised()


def _atoms_of_columns(problem: Problem, rows: Array, weights: Array, name: str) -> Atoms:
    if rows.shape[1] != problem.U.shape[1]:
        raise ValueError(f"{name} must have one column for each of the {problem.U.shape[1]} reproductions, got {rows.shape}")
    return Atoms(weights, np.eye(len(weights)), None).pick(weights > 0.0).normalised()


def optimise(
    problem: Problem,
    beta: float,
    start: Atoms,
    *,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
    effort: float = 1.0,
    extra: Atoms | None = None,
    prove: bool = True,
    warm: bool = False,
) -> Outcome:
    """From any start to the global optimum on the reduced problem; `extra` are points to try, `warm` skips the coarse phase."""
    residual_tol = max(1e-3 * tol, 1e-13)
    atoms = start
    if not feasible(problem, atoms):
        atoms = join(atoms, initial_atoms(problem))
    if extra is not None and len(extra):
        atoms = join(atoms, extra)
    if not warm or len(atoms) > len(start):
        atoms = reweight(problem, beta, atoms, warm=3 if warm else 30)
    best: Outcome | None = None
    last: Sweep | None = None
    spent, hasty = 0, not warm
    for round_ in range(MAX_ROUNDS):
        if round_ < 2 and not warm:
            atoms, steps = _coarse(problem, beta, atoms, 5 if round_ == 0 else 1)
            spent += steps
        hasty = hasty and round_ < _HASTY_ROUNDS
        local = polish(problem, beta, atoms, tol=residual_tol, max_iter=max(max_iter - spent, 1), hasty=hasty)
        spent += local.n_iter
        state = local.state
        unfinished = hasty and state.residual > residual_tol and spent < max_iter
        gap, certificate, maxima, found = certified(
            problem,
            state,
            extra,
            tol=tol,
            rng=rng,
            effort=_GLANCE * effort if unfinished else effort,
            prove=prove and not unfinished,
            quick=warm,
            on_faces=not unfinished,
        )
        if not unfinished and (best is None or _better(state.objective, gap, best)):
            best = Outcome(state, gap, certificate, maxima, spent)
        at_rest = state.residual <= max(tol, 1e-11)  # not so in a flat valley, which new atoms may lead out of
        if (gap <= tol and at_rest and not unfinished) or spent >= max_iter:
            break
        violating = found.points.pick(
            found.log_c > (max(tol, 0.1 * found.best) if unfinished else min(0.5 * tol, 0.1 * found.best))
        )
        if not len(violating):
            if not unfinished:
                break
            hasty, atoms = False, state.atoms
            continue
        fruitless = last is not None and _as_good(last, state)
        atoms, last = _grown(problem, state, violating, fruitless=fruitless), state
    assert best is not None
    if best.gap > tol:  # what is stated of it must hold on all faces too
        best = Outcome(best.state, *judge(problem, best.state, best.maxima, tol, prove=False), spent)
    return Outcome(_slim(problem, best.state), best.gap, best.certificate, best.maxima, spent)


def _grown(problem: Problem, state: Sweep, violating: Atoms, *, fruitless: bool) -> Atoms:
    """The atoms with the violating points, these at the best weights where they are.

    Of a cluster born beside another that all but splits that weight is too small for its place to move before it is dropped again:
    `fruitless` rounds give it more.
    """
    if fruitless:
        violating = Atoms(np.full(len(violating), _SEED), violating.means, violating.face)
        return join(state.atoms, violating).normalised()
    return reweight(problem, state.beta, join(state.atoms, violating), warm=3)


def certified(
    problem: Problem,
    state: Sweep,
    hints: Atoms | None,
    *,
    tol: float,
    rng: np.random.Generator,
    effort: float = 1.0,
    prove: bool = True,
    quick: bool = False,
    known: Maxima | None = None,
    on_faces: bool | None = None,
) -> tuple[float, Kind | None, Maxima, Maxima]:
    """The gap of a state, its kind, the maxima of log c found, and those that the gap rests on.

    With `quick`, where the gap can be proved, only the hints are looked at before the proof: what they miss, it finds. `known` are
    the maxima of a state at almost the same beta: only those of them that can have risen above 0 are then looked at again. All faces
    of the dual IB are looked at; with `on_faces` true only where nothing above `tol` was found elsewhere, and with false never.
    """
    hints = state.atoms.pick(np.zeros(0, dtype=int)) if hints is None else hints
    if quick and prove and provable(problem):
        maxima = _risen(problem, state, hints)
    elif known is not None and not problem.distortion.fixed_atoms:  # whose search looks at every point there is
        maxima = _risen(problem, state, known.points.pick(known.log_c > _CAN_RISE))
    else:
        maxima = search(
            problem,
            state.beta,
            state.atoms,
            state.posterior,
            state.log_z,
            rng,
            effort=effort,
            extra=hints if len(hints) else None,
        )
    on_faces = on_faces is None or (on_faces and maxima.best <= tol)
    gap, certificate, found = judge(problem, state, maxima, tol, prove=prove and maxima.best <= tol, on_faces=on_faces)
    return gap, certificate, maxima, found


def _risen(problem: Problem, state: Sweep, hints: Atoms) -> Maxima:
    """The maxima of log c reached from the hints, and the values on the atoms."""
    atoms = Atoms(np.zeros(len(state.atoms)), state.atoms.means, state.atoms.face)
    if not len(hints):
        return by_height(atoms, np.log(state.c))
    points, values = touching(problem, state, hints)
    return by_height(join(atoms, points), np.concatenate([np.log(state.c), values]))


def _better(objective: float, gap: float, best: Outcome) -> bool:
    """Lower, or as low to rounding with a smaller gap."""
    difference = objective - best.state.objective
    return difference < -1e-12 or (difference <= 1e-12 and gap <= best.gap)


def _coarse(problem: Problem, beta: float, atoms: Atoms, sweeps: int) -> tuple[Atoms, int]:
    for _ in range(sweeps):
        state = sweep(problem, beta, tidy(problem, beta, atoms))
        atoms = state.new
    return coalesce(problem, state), sweeps


def _slim(problem: Problem, state: Sweep) -> Sweep:
    """The same optimum on no more atoms than sources; as it is where that would lose the cluster of an x too rare to be noticed."""
    fewer = fewest_atoms(problem, state.atoms, state.beta)
    if fewer is not state.atoms:
        slimmed = sweep(problem, state.beta, fewer)
        state = slimmed if _as_good(slimmed, state) else state
    return sort_atoms(problem, state)


def without_idle(problem: Problem, state: Sweep) -> Sweep:
    """The same state, clusters of one decoder as one, and without those that have no weight: what every result is to hold.

    Clusters of one decoder may have different faces, by y at which it is 0: no descent puts these together. A weight of rounding is
    left where c is 1 at a place that needs no cluster. Where c would be above 1 without it, as at a rare x, it is a weight all the
    same.
    """
    atoms = state.atoms
    if problem.distortion.fixed_atoms:
        atoms = _of_distinct_columns(problem, atoms)
    elif len(atoms) > 1:
        atoms = merge_atoms(problem, state.beta, atoms, _TWINS, across_faces=True)
    heavy = needed(problem, atoms, atoms.weights > WEIGHTLESS)
    if not heavy.all():
        log_a = problem.log_px - sweep(problem, state.beta, atoms.pick(heavy).normalised()).log_z
        heavy[~heavy] = log_c(problem, state.beta, log_a, atoms.pick(~heavy))[0] > _MISSED
    if len(atoms) == len(state.atoms) and heavy.all():
        return state
    fewer = sweep(problem, state.beta, atoms.pick(heavy).normalised())
    return fewer if _as_good(fewer, state) and fewer.residual <= state.residual + _ROUNDING else state


def _of_distinct_columns(problem: Problem, atoms: Atoms) -> Atoms:
    """Fixed atoms, those whose columns are the same to all sources as one."""
    columns, index = np.unique(column_of(problem)[atoms.means.argmax(axis=1)], return_inverse=True)
    if len(columns) == len(atoms):
        return atoms
    weights = np.asarray(np.bincount(index, atoms.weights), dtype=np.float64)
    return Atoms(weights, np.eye(problem.U.shape[1])[columns], None)


def _as_good(fewer: Sweep, state: Sweep) -> bool:
    return fewer.objective <= state.objective + _ROUNDING * (1.0 + abs(state.objective))


def sort_atoms(problem: Problem, state: Sweep) -> Sweep:
    """The same state `without_idle` clusters, these by falling weight."""
    state = without_idle(problem, state)
    weights = state.atoms.weights
    if not (weights[1:] > weights[:-1]).any():
        return state
    order = np.argsort(-weights, kind="stable")
    atoms, new = state.atoms.pick(order), state.new.pick(order)
    if problem.is_sparse:
        return sweep(problem, state.beta, atoms)
    return state._replace(atoms=atoms, posterior=state.posterior[order], c=state.c[order], new=new)


def best_local(problem: Problem, beta: float, starts: list[Atoms], tol: float, max_iter: int) -> Outcome:
    """The best local optimum from the starts, not certified."""
    starts = [start.normalised() for start in starts if feasible(problem, start)]
    if not starts:
        raise ValueError("no feasible clustering to start from: some x is infinitely far from every cluster")
    runs = [polish(problem, beta, start, tol=max(1e-2 * tol, 1e-13), max_iter=max_iter) for start in starts]
    best = min(runs, key=lambda run: run.state.objective)
    return Outcome(sort_atoms(problem, best.state), np.inf, None, _NO_POINTS, sum(run.n_iter for run in runs))
