"""The exact hard clusters of two y against all partitions, and against dynamic programming written apart."""

import numpy as np
import pytest
from naive import hard_distortion, mutual_information

from dualib import IB, Bregman, DualIB, ExponentialFamily
from dualib.clusters.intervals import best_intervals, exact

KINDS = ("ib", "dualib")
DISTORTIONS = {"ib": IB(), "dualib": DualIB()}


def partitions(n):
    """All partitions of n members, as labels."""

    def grown(labels, count):
        if len(labels) == n:
            yield labels
            return
        for label in range(count + 1):
            yield from grown([*labels, label], max(count, label + 1))

    yield from grown([0], 1)


def table(seed, n):
    """Some tables have x of one y only, and equal x."""
    rng = np.random.default_rng(seed)
    px, py_x = rng.dirichlet(np.ones(n)), rng.dirichlet(np.full(2, rng.choice([0.1, 1.0, 3.0])), n)
    if seed % 3 == 0:
        py_x[rng.integers(n)] = [1.0, 0.0]
    if seed % 4 == 0:
        py_x[rng.integers(n)] = [0.0, 1.0]
    if seed % 5 == 0:
        py_x[-1] = py_x[0]
    return px, py_x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_no_partition_is_better(kind, seed):
    n = 3 + seed % 5
    px, py_x = table(seed, n)
    best = np.full(n + 1, np.inf)
    for labels in partitions(n):
        best[max(labels) + 1] = min(best[max(labels) + 1], hard_distortion(kind, px, py_x, labels))
    best = np.minimum.accumulate(best)
    for k in range(1, n + 1):
        if not np.isfinite(best[k]):
            with pytest.raises(ValueError, match="n_clusters: no 1 cluster"):
                best_intervals(DISTORTIONS[kind], px, py_x, k)
            continue
        labels = best_intervals(DISTORTIONS[kind], px, py_x, k)
        assert max(labels) < k
        assert hard_distortion(kind, px, py_x, labels) == pytest.approx(best[k], abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), [(60, 7), (160, 12)])
def test_agrees_with_dynamic_programming_over_a_table_of_costs(kind, n, k):
    px, py_x = table(1, n)
    order = np.argsort(py_x[:, 1])
    p, q = px[order], py_x[order]
    costs = np.full((n, n + 1), np.inf)
    for i in range(n):
        w, moment = np.cumsum(p[i:]), np.cumsum((p[:, None] * (q if kind == "ib" else np.log(q)))[i:], axis=0)
        r = moment / w[:, None]
        if kind == "ib":
            costs[i, i + 1 :] = np.cumsum(p[i:] * np.sum(q[i:] * np.log(q[i:]), axis=1)) - w * np.sum(r * np.log(r), axis=1)
        else:
            costs[i, i + 1 :] = -w * np.log(np.exp(r).sum(axis=1))
    best = np.append(0.0, costs[0, 1:])
    for _ in range(k - 1):
        best = np.append(0.0, [min(best[i] + costs[i, end] for i in range(end)) for end in range(1, n + 1)])
    assert hard_distortion(kind, px, py_x, best_intervals(DISTORTIONS[kind], px, py_x, k)) == pytest.approx(
        best[-1], abs=1e-12
    )


def test_levels_of_a_gaussian_channel():
    # binary input +-1, noise of variance .1, 200 outputs: the known optimum with 8 levels, in bits
    from scipy.stats import norm

    s = np.sqrt(0.1)
    y = np.linspace(-1 + s * norm.ppf(1e-12), 1 - s * norm.ppf(1e-12), 200)
    density = np.stack([norm.pdf(y, -1, s), norm.pdf(y, 1, s)], axis=1)
    px, py_x = density.sum(axis=1) / density.sum(), density / density.sum(axis=1, keepdims=True)
    labels = best_intervals(IB(), px, py_x, 8)
    joint = np.array([(px[:, None] * py_x)[labels == label].sum(axis=0) for label in range(8)])
    assert mutual_information(joint) / np.log(2.0) == pytest.approx(0.9965705573, abs=1e-10)


def test_which_distortions_have_intervals():
    family = ExponentialFamily([[0.1], [0.7]], [[0.0, 1.0]])
    assert all(exact(distortion, 2) for distortion in (IB(), DualIB(), Bregman.squared_euclidean(), family))
    assert not exact(IB(), 3)
