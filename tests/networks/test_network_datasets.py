"""The twelve bits: the rule against its published counts, the symmetry of the icosahedron, and points drawn out in space."""

import itertools

import numpy as np
import pytest
from scipy.special import eval_legendre

import dualib
from dualib import networks
from dualib.networks.datasets import ANTIPODES, EDGES, counts


def icosahedron():
    """Twelve points of the sphere, found from the list of edges alone: antipodes are opposite, neighbours at cos = 1/sqrt(5)."""
    cosines = np.full((12, 12), -1.0 / np.sqrt(5.0))
    for pairs, cosine in ((EDGES, 1.0 / np.sqrt(5.0)), (ANTIPODES, -1.0)):
        for i, j in pairs:
            cosines[i, j] = cosines[j, i] = cosine
    np.fill_diagonal(cosines, 1.0)
    values, vectors = np.linalg.eigh(cosines)
    np.testing.assert_allclose(values[:9], 0.0, atol=1e-12)  # rank 3: they are points of space
    return vectors[:, 9:] * np.sqrt(values[9:])


def test_edges_and_antipodes_are_those_of_an_icosahedron():
    assert len(set(EDGES)) == 30 and len(set(ANTIPODES)) == 6
    assert sorted(itertools.chain(*ANTIPODES)) == list(range(12))
    assert np.bincount(np.ravel(EDGES)).tolist() == [5] * 12
    points = icosahedron()
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0)
    np.testing.assert_allclose(points.sum(axis=0), 0.0, atol=1e-12)


def test_the_labels_of_all_patterns():
    X, y = networks.datasets.bits()
    assert X.shape == (4096, 12) and set(np.unique(X)) == {0.0, 1.0}
    np.testing.assert_array_equal(X @ 2.0 ** np.arange(11, -1, -1), np.arange(4096))  # the most significant bit first
    assert y.sum() == 2118
    entropy = dualib.information.entropy([2118 / 4096, 1978 / 4096], unit="bits")
    assert entropy == pytest.approx(0.999157, abs=5e-7)
    assert len(np.unique(counts(X), axis=0)) == 64
    k = X.sum(axis=1)
    assert not y[k <= 4].any() and y[k >= 8].all()
    assert (y[k == 5].sum(), y[k == 6].sum(), (1 - y[k == 7]).sum()) == tuple(
        int(sum(np.all(counts(X)[:, [0, 1, 3]] == [n, a, c], axis=1).sum() for a, c in pairs))
        for n, pairs in ((5, [(3, 0)]), (6, [(5, 0), (5, 1), (6, 0), (6, 1), (6, 2), (7, 1), (9, 0)]), (7, [(11, 2)]))
    )


def test_labels_and_conditionals_do_not_change_as_the_icosahedron_is_turned():
    """Every isometry of the twelve points permutes the bits; there are 120, found by where three neighbours go."""
    points = icosahedron()
    X, y = networks.datasets.bits()
    _, py_x = networks.datasets.soft_bits()
    powers = 2 ** np.arange(11, -1, -1)
    frame = points[[0, 2, 6]]
    found = 0
    for images in itertools.permutations(range(12), 3):
        turned = np.linalg.solve(frame, points[list(images)])
        if not np.allclose(turned @ turned.T, np.eye(3), atol=1e-9):
            continue
        moved = np.argmin(np.linalg.norm((points @ turned)[:, None] - points[None], axis=2), axis=1)
        assert len(set(moved)) == 12
        found += 1
        same = (X[:, moved] @ powers).astype(int)
        np.testing.assert_array_equal(y[same], y)
        np.testing.assert_array_equal(py_x[same], py_x)
    assert found == 120


def test_the_soft_rule_is_that_of_powers_on_the_sphere():
    """The powers anew, as sums over all pairs of active points of their coordinates, in place of counted pairs."""
    X, py_x = networks.datasets.soft_bits()
    points = icosahedron()
    cosines = points @ points.T
    f = np.zeros(len(X))
    for degree, weight in ((0, 2 * np.pi / 3), (2, 4 * np.pi / 15), (3, 1.1425862)):
        power = (2 * degree + 1) / (4 * np.pi) * np.sum((X @ eval_legendre(degree, cosines)) * X, axis=1)
        f += weight * np.sqrt(np.maximum(power, 0.0))
    np.testing.assert_allclose(np.log(py_x[:, 1] / py_x[:, 0]), 12 * (f - 5.89), atol=1e-5)
    rows, weights = np.unique(py_x, axis=0, return_counts=True)
    assert len(rows) == 64 and weights.sum() == 4096
