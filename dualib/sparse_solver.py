"""The global loop on a sparse problem: as `dualib.optimise`, from a bounded number of starts.

Clusters grow from few: sweeps with Anderson's acceleration, then a search for points with c > 1 among a bounded number of starts.
These become clusters, until none is found, `most` clusters are reached, or the sweeps are spent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualib._validation import shown
from dualib.anderson import Anderson
from dualib.distortions import Array
from dualib.labels import encoder_rows
from dualib.local import merge_atoms
from dualib.problem import UNSEEN, Atoms, Sweep, distance_matrix, join
from dualib.search import Maxima

if TYPE_CHECKING:
    from dualib.optimise import Outcome
    from dualib.sparse_problem import SparseProblem

MOST_CLUSTERS = 500  # to which a solve without a cap grows
_FIRST = 32  # sources that become the first clusters
_ADDED = 16  # clusters in one round
_ROUNDS = 40
_SAMPLED = 256  # starts of each kind, of which c is computed
_CLIMBING = 48  # of which the best are followed uphill
_CLIMBS = 30  # ascent steps, and at most as long as no violation is found:
_MOST_CLIMBS = 500
_LANCZOS = 30  # steps behind a stability number
_SPENT = 1e-10  # a next direction of Lanczos's method shorter than this, beside eigenvalues of at most 1, is rounding
_RISE = 1e-13  # the objective may rise by this much, relative to 1 + |G|: rounding
_MERGE = 1e-9  # squared natural distance below which two atoms are one
_SOFT = 0.02  # part of everything in a softened source
_PATIENCE = 30
_SETTLING = 20  # sweeps that a state with fewer clusters has to become the better one
_LIGHT = 1e-2  # times the average weight
_TRIED = 10  # sweeps after which restarts are compared
_FOLLOWED = 3  # softened starts under a cap that are


def initial_atoms(problem: SparseProblem, rng: np.random.Generator, size: int = _FIRST) -> Atoms:
    """Sources drawn by p(x), softened so that all share one face, and the one cluster of everything."""
    size = min(size, problem.n)
    return random_atoms(problem, size, rng) if size > 1 else pooled(problem)


def pooled(problem: SparseProblem) -> Atoms:
    """The one cluster of all sources."""
    return problem.centroids(sparse.csr_array(problem.px[None, :]), np.ones(1))


def random_atoms(problem: SparseProblem, size: int, rng: np.random.Generator) -> Atoms:
    """`size` atoms, each half a source, drawn without replacement by p(x), and half everything."""
    return softened(problem, rng.choice(problem.n, min(size, problem.n), replace=False, p=problem.px), 0.5)


def softened(problem: SparseProblem, sources: np.ndarray, share: float) -> Atoms:
    """Atoms at the given sources, mixed with `share` of everything: no divergence from them is infinite."""
    own, everything = problem.centroids(_unit(sources, problem.n)), pooled(problem)
    means = (1.0 - share) * own.means + share * everything.means
    return Atoms(own.weights, means, np.repeat(everything.face, len(means), axis=0))  # type: ignore[arg-type]


def atoms_of_encoder(problem: SparseProblem, encoder: npt.ArrayLike, name: str) -> Atoms:
    """Weights and centroids of an encoder (n_x, n_t), or of labels (n_x,)."""
    rows = encoder_rows(encoder, problem.joint.n_x, name=name)
    live = problem.row_of >= 0
    pairs = np.zeros((problem.n, rows.shape[1]))
    np.add.at(pairs, problem.row_of[live], problem.joint.px[live, None] * rows[live])
    weights = pairs.sum(axis=0)
    kept = weights > 0.0
    means = np.asarray(problem.rows.T @ pairs[:, kept]).T / weights[kept, None]
    return Atoms(weights[kept], np.ascontiguousarray(means), means > 0.0).normalised()


def optimise_sparse(
    problem: SparseProblem,
    beta: float,
    start: Atoms,
    *,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
    most: int = MOST_CLUSTERS,
    certify: bool = True,
) -> Outcome:
    """From a start as near the global optimum as `most` clusters and `max_iter` sweeps allow."""
    from dualib.optimise import Outcome

    atoms, spent = start.normalised(), 0
    best: Outcome | None = None
    for _ in range(_ROUNDS):
        state, steps = polish(problem, beta, atoms, tol=max(1e-2 * tol, 1e-13), max_iter=max(max_iter - spent, 1))
        spent += steps
        if not certify:
            nothing = state.atoms.pick(np.zeros(0, dtype=int))
            return Outcome(_sorted(problem, state), np.inf, None, Maxima(nothing, np.zeros(0)), spent)
        maxima = search_sparse(problem, state, rng, tol)
        gap = max(0.0, maxima.best)
        if best is None or state.objective < best.state.objective - 1e-12 or gap < best.gap:
            best = Outcome(state, gap, "multistart", maxima, spent)
        room = most - len(state.atoms)
        violating = maxima.points.pick(maxima.log_c > min(0.5 * tol, 0.1 * maxima.best))
        if gap <= tol or spent >= max_iter or room <= 0 or not len(violating):
            break
        new = violating.pick(np.arange(min(len(violating), room, _ADDED)))
        atoms = reweight(problem, beta, join(state.atoms, new))
    assert best is not None
    return Outcome(_sorted(problem, best.state), best.gap, best.certificate, best.maxima, spent)


def _sorted(problem: SparseProblem, state: Sweep) -> Sweep:
    order = np.argsort(-state.atoms.weights, kind="stable")
    return state if (np.diff(order) == 1).all() else problem.sweep(state.beta, state.atoms.pick(order))


def reweight(problem: SparseProblem, beta: float, atoms: Atoms, steps: int = 10) -> Atoms:
    """A few steps of the weights alone, the points fixed, from no weight below 1/10 of the average."""
    weights = np.maximum(atoms.weights, 0.1 / len(atoms))
    for _ in range(steps):
        atoms = Atoms(weights / weights.sum(), atoms.means, atoms.face)
        weights = np.maximum(problem.sums(beta, atoms, moments=False)[1], 1e-300)
    return _tidy(problem, beta, Atoms(weights, atoms.means, atoms.face).normalised())


def polish(problem: SparseProblem, beta: float, atoms: Atoms, *, tol: float, max_iter: int) -> tuple[Sweep, int]:
    """Sweeps until the residual is at `tol` or nothing moves, no two clusters equal in the end; the last sweep and their number."""
    state, n_iter = _settled(problem, beta, atoms, tol, max_iter)
    while len(fewer := _tidy(problem, beta, state.atoms)) < len(state.atoms):
        trial = problem.sweep(beta, fewer)
        if trial.objective > state.objective + max(_RISE, tol) * (1.0 + abs(state.objective)):
            break
        state, steps = _settled(problem, beta, fewer, tol, max(max_iter - n_iter, 1))
        n_iter += steps
    return state, n_iter


def _settled(problem: SparseProblem, beta: float, atoms: Atoms, tol: float, max_iter: int) -> tuple[Sweep, int]:
    """Sweeps with guarded Anderson acceleration."""
    state = problem.sweep(beta, _tidy(problem, beta, atoms))
    history, n_iter = Anderson(), 1
    trail = [(state.objective, state.residual)]
    while state.residual > tol and n_iter < max_iter:
        if len(trail) > _PATIENCE:
            objective, residual = trail[-_PATIENCE]
            if objective - state.objective < tol * (1.0 + abs(objective)) and state.residual > 0.5 * residual:
                fewer, steps = _fewer(problem, beta, state)
                n_iter += steps
                if fewer is None:
                    break
                state, trail = fewer, []
                history.clear()
        following = None
        proposal = history.propose(state)
        if proposal is not None and (proposal.means >= 0.0).all():
            trial = problem.sweep(beta, proposal)
            n_iter += 1
            if trial.objective <= state.objective + _RISE * (1.0 + abs(state.objective)):
                following = trial
            else:
                history.clear()
        if following is None:
            following = problem.sweep(beta, _tidy(problem, beta, state.new) if n_iter % 10 == 0 else _live(state.new))
            n_iter += 1
        if len(following.atoms) != len(state.atoms):
            history.clear()
        state = following
        trail.append((state.objective, state.residual))
    return state, n_iter


def _fewer(problem: SparseProblem, beta: float, state: Sweep) -> tuple[Sweep | None, int]:
    """The state without a cluster that it can spare, and the sweeps spent; None where each one lowers the objective.

    Near a bifurcation a surplus cluster fades, or nears another, ever more slowly: sweeps alone would hardly ever be rid of it.
    """
    spent = 0
    for atoms in _smaller(problem, beta, state):
        trial = problem.sweep(beta, atoms)
        for step in range(_SETTLING):
            spent += 1
            if trial.objective <= state.objective:
                return trial, spent
            if step < _SETTLING - 1:
                trial = problem.sweep(beta, _live(trial.new))
    return None, spent


def _smaller(problem: SparseProblem, beta: float, state: Sweep) -> Iterator[Atoms]:
    """Without the light clusters of c < 1, which the weights ask to drop; without that of least c; with the cheapest pair merged."""
    atoms = state.atoms
    if len(atoms) < 2:
        return
    light = (state.c < 1.0 - 1e-12) & (atoms.weights < _LIGHT / len(atoms))
    if light.any():
        yield atoms.pick(~light).normalised()
    yield atoms.pick(np.arange(len(atoms)) != np.argmin(state.c)).normalised()
    w = atoms.weights
    cost = distance_matrix(problem, beta, atoms, atoms) * (w[:, None] * w / (w[:, None] + w))
    cost[np.diag_indices(len(atoms))] = np.inf
    i, j = sorted(np.unravel_index(np.argmin(cost), cost.shape))
    if np.isfinite(cost[i, j]):
        weights, means, face = w.copy(), atoms.means.copy(), atoms.face.copy()  # type: ignore[union-attr]
        weights[i], means[i], face[i] = w[i] + w[j], (w[i] * means[i] + w[j] * means[j]) / (w[i] + w[j]), face[i] | face[j]
        yield Atoms(weights, means, face).pick(np.arange(len(w)) != j)


def _live(atoms: Atoms) -> Atoms:
    keep = atoms.weights > 0.0
    return atoms if keep.all() else atoms.pick(keep).normalised()


def _tidy(problem: SparseProblem, beta: float, atoms: Atoms) -> Atoms:
    """Equal atoms merged, those of no weight dropped unless some source would be left without any."""
    heavy = atoms.weights > 1e-14 * atoms.weights.max()
    if not heavy.all():
        fewer = atoms.pick(heavy).normalised()
        if np.isfinite(problem.sums(beta, fewer, moments=False)[0]).all():
            atoms = fewer
    return merge_atoms(problem, beta, atoms, _MERGE, across_faces=True).normalised() if len(atoms) > 1 else atoms.normalised()


def search_sparse(problem: SparseProblem, state: Sweep, rng: np.random.Generator, tol: float) -> Maxima:
    """Local maxima of log c from a bounded number of starts, and the values on the atoms, best first."""
    beta, atoms = state.beta, state.atoms
    log_a = problem.log_px - state.log_z
    points = _starts(problem, beta, log_a, rng)
    values = np.concatenate([problem.ascent(beta, log_a, points.pick(part), moments=False)[0] for part in _parts(len(points))])
    points = points.pick(np.argsort(-values, kind="stable")[:_CLIMBING])
    points = join(Atoms(np.zeros(len(atoms)), atoms.means, atoms.face), points)
    points = Atoms(np.zeros(len(points)), points.means, points.face)
    points, values = _climbed(problem, beta, log_a, points, tol)
    order = np.argsort(-values, kind="stable")
    points, values = points.pick(order), values[order]
    close = np.asarray(np.tril(distance_matrix(problem, beta, points, points) < 1e-6, -1).any(axis=1))
    return Maxima(points.pick(~close), values[~close])


def _climbed(problem: SparseProblem, beta: float, log_a: Array, points: Atoms, tol: float) -> tuple[Atoms, Array]:
    """The points after ascent steps, and log c there.

    Many steps where no c is above 1 yet: near a bifurcation all rise slowly.
    """
    values, ahead = problem.ascent(beta, log_a, points)
    means, rising = points.means.copy(), np.arange(len(points))
    for step in range(_MOST_CLIMBS):
        best = values.max()
        means[rising] = ahead
        new, ahead = problem.ascent(beta, log_a, Atoms(points.weights[rising], ahead, points.face[rising]))  # type: ignore[index]
        going = new - values[rising] > 1e-13
        values[rising] = new
        rising, ahead = rising[going], ahead[going]
        if not len(rising) or (step >= _CLIMBS and best > tol and values.max() - best < 1e-3 * best):
            break
    return Atoms(points.weights, means, points.face), values


def _starts(problem: SparseProblem, beta: float, log_a: Array, rng: np.random.Generator) -> Atoms:
    """Sources of largest own part of c and sources drawn by p(x), as they are and softened; random subsets; everything."""
    n = problem.n
    own = log_a + beta * problem.a  # log of the part that x alone has in c at p(y|x)
    top = np.argsort(-own, kind="stable")[:_SAMPLED]
    drawn = rng.choice(n, min(n, _SAMPLED), replace=False, p=problem.px)
    sources = np.unique(np.concatenate([top, drawn]))
    points = join(problem.centroids(_unit(sources, n)), softened(problem, sources, _SOFT))
    points = join(points, softened(problem, sources, 0.5))
    if n > 1:
        points = join(points, problem.centroids(_subsets(problem, rng)))
    return join(points, pooled(problem))


def _subsets(problem: SparseProblem, rng: np.random.Generator) -> Any:
    """Random subsets of 2 to 1,000 sources, weighed by p(x), as rows of a sparse matrix (m, n) that sum to 1."""
    sizes = np.minimum(np.geomspace(2, min(1000, problem.n), _SAMPLED).astype(int), problem.n)
    columns = np.concatenate([rng.choice(problem.n, size, replace=False) for size in sizes])
    rows = np.repeat(np.arange(len(sizes)), sizes)
    weights = problem.px[columns]
    weights = weights / np.bincount(rows, weights)[rows]
    return sparse.csr_array((weights, (rows, columns)), shape=(len(sizes), problem.n))


def _unit(sources: np.ndarray, n: int) -> Any:
    m = len(sources)
    return sparse.csr_array((np.ones(m), sources, np.arange(m + 1)), shape=(m, n))


def _parts(count: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), max(1, -(-count // 128)))


def stability(problem: SparseProblem, state: Sweep) -> Array:
    """The numbers beta lambda_max( Cov_t(p(y|x)) diag(1 / r) ) of each cluster, (n_t,), from below, by Lanczos's method.

    Vectors are not made orthogonal again: that only repeats eigenvalues. A cluster that has no member left has 0.
    """
    means, own = state.new.means.T, state.new.weights
    seen = (means > UNSEEN) & (own > 0.0)
    root, own = np.sqrt(np.where(seen, means, 1.0)), np.where(own > 0.0, own, 1.0)
    vector, length = _normed(np.where(seen, np.random.default_rng(0).standard_normal(means.shape), 0.0))
    before, link = np.zeros_like(vector), np.zeros_like(length)
    ritz = np.zeros((len(own), _LANCZOS, _LANCZOS))
    for i in range(_LANCZOS):
        ritz[:, i, i - 1] = ritz[:, i - 1, i] = link  # at i = 0 these are 0
        turn = vector / root
        weights, moments = problem.tangent(state, turn, -np.sum(means * turn, axis=0))
        image = np.where(seen, (moments - means * weights) / root, 0.0) / own
        ritz[:, i, i] = np.sum(vector * image, axis=0)
        following, link = _normed(image - ritz[:, i, i] * vector - link * before)
        before, vector = vector, following
    return state.beta * np.maximum(np.linalg.eigvalsh(ritz)[:, -1], 0.0)


def _normed(vectors: Array) -> tuple[Array, Array]:
    """Columns of length 1 and the lengths that they had; 0 and 0 for one that is rounding."""
    lengths = np.sqrt(np.sum(vectors * vectors, axis=0))
    lengths[lengths < _SPENT] = 0.0
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0.0), lengths


def is_capped(outcome: Outcome, n_clusters: int | None, tol: float) -> bool:
    """Whether the cap, not the search, ended the growth of the clusters."""
    return n_clusters is not None and len(outcome.state.atoms) >= n_clusters and outcome.gap > tol


def solve_sparse(
    problem: SparseProblem,
    beta: float,
    init: Any,
    n_clusters: int | None,
    n_restarts: int,
    *,
    tol: float,
    max_iter: int,
    certify: bool,
    rng: np.random.Generator,
    near: Atoms | None = None,
) -> Outcome:
    """`dualib.solve` on a sparse problem; of several starts the one that is best after a few sweeps is followed to the end.

    `near` is one more start, and leaves those of a solve without it as they are.
    """
    from dualib.capped import atoms_of_labels, search_hard, softened
    from dualib.memory import check_sparse_fits

    most = MOST_CLUSTERS if n_clusters is None else min(n_clusters, problem.n + 1)
    check_sparse_fits(problem.joint, 1 if n_clusters is None else most)
    if isinstance(init, str) and init != "random":
        raise ValueError(f"init must be an encoder (n_x, n_t), labels (n_x,), 'random' or None, got {shown(init)}")
    starts = [] if near is None else [near]
    if init is not None and not isinstance(init, str):
        starts.append(atoms_of_encoder(problem, init, "init"))
        if n_clusters is not None and len(starts[-1]) > n_clusters:
            raise ValueError(f"init must have at most n_clusters = {n_clusters} clusters, got {len(starts[-1])}")
    elif n_clusters is None:
        starts = [initial_atoms(problem, rng) for _ in range(1 if init is None else n_restarts)] + starts
    else:
        found = search_hard(problem, beta, n_clusters, n_restarts, [_labels(problem, beta, start) for start in starts], rng)
        starts += [state.new for state in softened(problem, beta, found)[:_FOLLOWED]]
        starts += [atoms_of_labels(problem, labels) for labels in found[:1]]
    if len(starts) > 1:
        states = [polish(problem, beta, _live(start), tol=tol, max_iter=_TRIED)[0] for start in starts]
        starts = [min(states, key=lambda state: state.objective).new]
    return optimise_sparse(problem, beta, _live(starts[0]), tol=tol, max_iter=max_iter, rng=rng, most=most, certify=certify)


def _labels(problem: SparseProblem, beta: float, atoms: Atoms) -> np.ndarray:
    """The likeliest cluster of each source."""
    return np.argmax(problem.encoder(beta, atoms)[0], axis=1)
