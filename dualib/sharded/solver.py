"""`solve`: sweeps over the shards, from clusters of a sample of rows or from given ones, until they rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from dualib._validation import as_distribution, as_probability_rows, shown, validate_beta, validate_integer
from dualib.clusters.quantize import quantize
from dualib.conditionals import frozen
from dualib.distortions.interface import Array
from dualib.distortions.rows import TINY, x_log_x
from dualib.doors import door
from dualib.joint import JointDistribution
from dualib.progress import Progress, reporter
from dualib.results.status import Status
from dualib.sharded.joint import ShardedJoint, check_sharded
from dualib.sharded.shards import Shard
from dualib.sharded.solution import ShardedSolution, exponents_of
from dualib.sharded.steps import Sums, sampled, swept
from dualib.solving.solver import check_options
from dualib.warnings import warn_of_convergence

_FAINT = 1e-300  # weights that are divided by are at least this
_SOFT = 0.05  # part of p(y) in the clusters of a sample, which lack many a y
_LITTLE = 1e-6  # part of p(y) in given clusters that lack a y: no x may be infinitely far from all


class State(NamedTuple):
    """Clusters: weights (k,) and means p(y|t), (n_y, k)."""

    weights: Array
    means: Array


class Swept(NamedTuple):
    """What a sweep tells of a state: objective, rate and relevance of its encoder, the residual, and the state after it."""

    objective: float
    rate: float
    relevance: float
    residual: float
    after: State


@door
def solve(
    joint: ShardedJoint,
    beta: float,
    n_clusters: int | None = None,
    *,
    init: Any = None,
    n_rows: int = 2_000,
    tol: float = 1e-7,
    max_iter: int = 1_000,
    progress: Progress = False,
    random_state: int | None = None,
) -> ShardedSolution:
    """Lower ``I(X;T) + beta E KL(p(y|x) || p(y|t))`` of K clusters on a sharded table, to a local optimum.

    By sweeps (Blahut-Arimoto: Tishby, Pereira and Bialek 1999): each shard's part of the new weights ``w_t = sum_x p(x) p(t|x)``
    and means ``sum_x p(x) p(t|x) p(y|x)`` is summed where the shard is, with ``p(t|x)`` proportional to ``w_t exp(-beta d(x, t))``;
    the parts are added two by two along one tree, so that the result has the same bits for any number of workers, or none.

    Parameters
    ----------
    joint : ShardedJoint
    beta : float
        Trade-off, > 0.
    n_clusters : int, optional
        K; left out where `init` says it. There are fewer where the sample of rows has fewer different ones.
    init : array (K, n_y), pair of arrays, or solution, optional
        Decoder p(y|t) to start from; weights (K,) and decoder; a `ShardedSolution` or a `dualib.Solution`, as that at a smaller
        beta. None: the hard clusters that lose least of a sample of rows, as of `dualib.quantize`, softened.
    n_rows : int
        Rows of that sample, about: the same share of each shard's, at least one.
    tol : float
        Residual of the self-consistent equations at which sweeps end; the objective is then off by about its square.
    max_iter : int
        Cap on the number of sweeps.
    progress : bool or callable
        True: a line on stderr. A callable is called as ``progress(done, total)`` after each sweep.
    random_state : int, optional
        Seed of the sample; None is a fixed one.

    Returns
    -------
    ShardedSolution

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value.

    Warns
    -----
    ConvergenceWarning
        `max_iter` came before `tol`.

    Notes
    -----
    On a dask cluster a worker that dies costs its shards, which others load again, and their parts of the sweep that was under way.
    If this process dies, the sweeps are lost: `ShardedSolution.save` at several betas, and start from there.

    Examples
    --------
    >>> import dualib
    >>> import numpy as np
    >>> letters = dualib.datasets.load_letters()
    >>> joint = dualib.sharded.ShardedJoint([lambda: letters.pxy[:13], lambda: letters.pxy[13:]])
    >>> solution = dualib.sharded.solve(joint, 5.0, 4)
    >>> encoder = np.vstack([solution.encoder(0), solution.encoder(1)])
    >>> alone = dualib.solve(letters, 5.0, init=encoder, certify=False)
    >>> abs(solution.objective - alone.objective) < 1e-12
    True
    """
    check_sharded(joint)
    beta = validate_beta(beta)
    check_options(tol, n_clusters=n_clusters, max_iter=max_iter)
    report = reporter(progress, "sharded")
    state = _sample(joint, n_clusters, n_rows, random_state) if init is None else _given(joint, init, n_clusters)
    report.expect(max_iter)
    with report:
        for taken in range(1, max_iter + 1):
            exponents = exponents_of(beta, *state)
            found = _swept(joint, beta, state, exponents.slopes, joint.pool.total(swept, exponents, joint.total))
            report.step()
            if found.residual <= tol or taken == max_iter:
                break
            state = found.after
    rested = found.residual <= tol
    if not rested:
        told = f"beta={beta:g}: residual {found.residual:.1e} after {taken} sweeps, tol {tol:g}: raise max_iter or tol"
        warn_of_convergence(told, stacklevel=3)
    return ShardedSolution(
        joint,
        beta,
        frozen(state.weights),
        frozen(state.means.T),
        found.objective,
        found.rate,
        found.relevance,
        Status.NOT_CERTIFIED if rested else Status.MAX_ITER,
        found.residual,
        taken,
    )


def _swept(joint: ShardedJoint, beta: float, state: State, slopes: Array, sums: Sums) -> Swept:
    """What the sums of a sweep tell.

    H(T|X) is in them: ``-sum_x p(x) sum_t p(t|x) log p(t|x)``, the logarithm being ``log w_t + <p(.|x), slopes> - log Z(x)``.
    """
    log_z, weights, pairs = sums
    kept = weights > 0.0
    terms = pairs * slopes
    own = float(np.sum(weights[kept] * np.log(state.weights[kept]))) + float(np.sum(terms)) - log_z
    rate = own - float(np.sum(x_log_x(weights)))
    relevance = float(np.sum(x_log_x(pairs))) - float(np.sum(x_log_x(weights))) - float(np.sum(x_log_x(joint.py)))
    means = np.where(kept, pairs / np.maximum(weights, _FAINT), state.means)
    moves = (means - state.means) * (beta * np.log(np.maximum(means, TINY)) - slopes)
    change = np.abs(weights / np.maximum(state.weights, _FAINT) - 1.0)
    live = state.weights > 0.0
    residual = float(np.max(np.maximum(change, np.sqrt(np.maximum(moves.sum(axis=0), 0.0)))[live]))
    after = State(weights / weights.sum(), means)
    return Swept(beta * joint.row_entropy - log_z, max(0.0, rate), max(0.0, relevance), residual, after)


# -- where to begin ----------------------------------------------------------------------------------------------------


def _sample(joint: ShardedJoint, n_clusters: int | None, n_rows: int, random_state: int | None) -> State:
    """Hard clusters of a sample of rows, with a part of p(y) in each."""
    if n_clusters is None:
        raise ValueError("n_clusters must be given where init is not")
    if n_clusters > joint.n_x:
        raise ValueError(f"n_clusters must be at most n_x = {joint.n_x}, got {n_clusters}")
    share = max(validate_integer("n_rows", n_rows, 1), n_clusters) / joint.n_x
    seed = 0 if random_state is None else validate_integer("random_state", random_state, 0)
    parts: list[Shard] = joint.pool.each(sampled, share, seed)
    rows = sparse.vstack([_counts(part, joint.n_y) for part in parts if len(part.mass)], format="csr")
    labels = quantize(JointDistribution.from_counts(rows), n_clusters, certify=False, random_state=seed).labels
    members = sparse.csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))))
    pairs = (members @ rows).toarray()
    weights = pairs.sum(axis=1)
    means = (1.0 - _SOFT) * pairs / weights[:, None] + _SOFT * joint.py
    return State(weights / weights.sum(), np.ascontiguousarray(means.T))


def _counts(part: Shard, n_y: int) -> Any:
    data = part.data * np.repeat(part.mass, np.diff(part.indptr))
    return sparse.csr_array((data, part.indices, part.indptr), shape=(len(part.mass), n_y))


def _given(joint: ShardedJoint, init: Any, n_clusters: int | None) -> State:
    """The clusters given; those that lack a y get a little of p(y)."""
    if hasattr(init, "decoder") and hasattr(init, "weights"):
        weights, decoder = init.weights, init.decoder
    elif isinstance(init, tuple) and len(init) == 2:
        weights, decoder = init
    else:
        weights, decoder = None, init
    if np.ndim(decoder) != 2:
        raise ValueError(f"init must be a decoder (K, n_y), weights and a decoder, or a solution, got {shown(init)}")
    rows = as_probability_rows("init", decoder, joint.n_y)
    if n_clusters is not None and n_clusters != len(rows):
        raise ValueError(f"n_clusters must be the number of clusters of init, {len(rows)}, got {n_clusters}: leave it out")
    shares = np.full(len(rows), 1.0 / len(rows)) if weights is None else as_distribution("init: weights", weights, len(rows))
    lacking = ((rows == 0.0) & (joint.py > 0.0)).any(axis=1)
    rows[lacking] = (1.0 - _LITTLE) * rows[lacking] + _LITTLE * joint.py
    return State(shares, np.ascontiguousarray(rows.T))
