"""What is computed of one shard: pure functions of it, the same wherever and however often they run.

Where their results are sums they are tuples of arrays, which `added` adds. No step calls BLAS, whose sums depend on its threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from dualib.data.samples import text_of
from dualib.distortions.interface import Array
from dualib.distortions.rows import x_log_x
from dualib.sharded.shards import Shard

Sums = tuple[Any, ...]
_AT_ONCE = 1_000_000  # posteriors in memory at a time


class Facts(NamedTuple):
    """What is known of a shard when it is loaded: numbers of its rows and nonzeros, its width, and the sum of its rows."""

    rows: int
    nonzeros: int
    width: int
    is_exact: bool
    mass: float


class Exponents(NamedTuple):
    """Clusters as a sweep needs them: ``log w_t - beta d(x, t) = shift[t] + <p(.|x), slopes[:, t]>``, but for what x alone adds.

    Attributes
    ----------
    shift : (k,)
        log w.
    slopes : (n_y, k)
        beta log p(y|t).
    """

    shift: Array
    slopes: Array


def facts(shard: Shard) -> Facts:
    """See `Facts`."""
    return Facts(len(shard.mass), len(shard.data), shard.width, shard.is_exact, float(shard.mass.sum()))


def added(one: Sums, other: Sums) -> Sums:
    """Sums of two parts of the table."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def margins(shard: Shard, n_y: int, total: float) -> Sums:
    """p(y) (n_y,), and ``sum_x p(x) sum_y p(y|x) log p(y|x)``, of this part of the table."""
    px = np.repeat(shard.mass / total, np.diff(shard.indptr))
    return np.bincount(shard.indices, px * shard.data, minlength=n_y), float(np.sum(px * x_log_x(shard.data)))


def swept(shard: Shard, exponents: Exponents, total: float) -> Sums:
    """One sweep's sums over x: ``p(x) log Z(x)``, the new weights ``p(x) p(t|x)`` (k,), and ``p(x) p(t|x) p(y|x)`` (n_y, k)."""
    n_y, k = exponents.slopes.shape
    log_z, weights, sums = 0.0, np.zeros(k), np.zeros((n_y, k))
    for part, rows, posterior, value in _posteriors(shard, exponents):
        px = shard.mass[part] / total
        log_z += float(np.sum(px * value))
        posterior *= px[:, None]
        weights += posterior.sum(axis=0)
        sums += rows.T @ posterior
    return log_z, weights, sums


def encoded(shard: Shard, exponents: Exponents, py: Array) -> Array:
    """p(t|x), (m, k); a row of zeros has that of p(y), which claims nothing about x."""
    parts = [posterior for _, _, posterior, _ in _posteriors(shard, exponents)]
    result = np.concatenate(parts)
    result[shard.mass == 0.0] = _normalised((exponents.slopes * py[:, None]).sum(axis=0, keepdims=True) + exponents.shift)[0][
        0
    ]
    return result


def likeliest(shard: Shard, exponents: Exponents, py: Array) -> Any:
    """The likeliest cluster of each row, (m,) int."""
    return np.argmax(encoded(shard, exponents, py), axis=1)


def named(shard: Shard) -> tuple[str, ...]:
    """The x as text, or their numbers within the shard."""
    return tuple(map(str, range(len(shard.mass)) if shard.names is None else map(text_of, shard.names.to_pylist())))


def sampled(shard: Shard, share: float, seed: int) -> Shard:
    """A share of the rows that are not zero, at least one where there is one, drawn without replacement."""
    live = np.flatnonzero(shard.mass)
    size = min(len(live), int(np.ceil(share * len(live))))
    chosen = np.sort(np.random.default_rng([seed, len(shard.mass), len(shard.data)]).choice(live, size, replace=False))
    rows = shard.part(0, len(shard.mass), shard.width)[chosen]
    return Shard(shard.mass[chosen], rows.data, rows.indices, rows.indptr, shard.width, shard.is_exact)


def _posteriors(shard: Shard, exponents: Exponents) -> Iterator[tuple[slice, Any, Array, Array]]:
    """Blocks of rows: which, p(y|x) of them, p(t|x) (b, k), and log Z(x) (b,) but for what x alone adds."""
    n_y, k = exponents.slopes.shape
    size = max(1, _AT_ONCE // k)
    for begin in range(0, len(shard.mass), size):
        end = min(begin + size, len(shard.mass))
        rows = shard.part(begin, end, n_y)
        terms = rows @ exponents.slopes
        terms += exponents.shift
        yield slice(begin, end), rows, *_normalised(terms)


def _normalised(terms: Array) -> tuple[Array, Array]:
    """The softmax of rows, in place, and the logarithm of the sum of their exponentials."""
    highest = terms.max(axis=1)
    terms -= highest[:, None]
    np.exp(terms, out=terms)
    z = terms.sum(axis=1)
    terms /= z[:, None]
    return terms, np.log(z) + highest
