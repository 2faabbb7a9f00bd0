"""Parts of local optimisation: the rows of Newton's system in few columns, and neighbours put together."""

import numpy as np
import pytest

from dualib import JointDistribution
from dualib.curvature import _compress
from dualib.distortions import as_distortion
from dualib.local import coalesce
from dualib.problem import Problem, sweep


@pytest.mark.parametrize(("n", "k", "live"), [(6, 2, 6), (40, 10, 40), (10, 30, 10), (60, 30, 60), (60, 30, 12)])
def test_compressed_rows_have_the_same_products(n, k, live):
    """Of each cluster's rows (n, k), of rank 4 or 3 and some of them 0, and of a vector of their row space."""
    rng = np.random.default_rng(n + live)
    ranks = [min(k, rank) for rank in (4, 3, 4)]
    rows = np.array([rng.normal(size=(n, rank)) @ rng.normal(size=(rank, k)) for rank in ranks])
    rows[:, live:] = 0.0
    pull = np.einsum("tnk,tn->tk", rows, rng.normal(size=(3, n)))
    compressed, projected = _compress(rows, pull)
    assert compressed.shape == (3, n, max(ranks))
    np.testing.assert_allclose(compressed @ compressed.transpose(0, 2, 1), rows @ rows.transpose(0, 2, 1), atol=1e-9)
    np.testing.assert_allclose(np.einsum("tnk,tk->tn", compressed, projected), np.einsum("tnk,tk->tn", rows, pull), rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), np.linalg.norm(pull, axis=1), rtol=1e-12)


def test_directions_that_hardly_matter_are_left_out():
    rng = np.random.default_rng(0)
    for n, k in ((20, 10), (12, 40), (80, 40)):
        left, right = np.linalg.qr(rng.normal(size=(n, 5)))[0], np.linalg.qr(rng.normal(size=(k, 5)))[0]
        values = np.array([1.0, 0.3, 1e-2, 1e-5, 1e-8])  # squared, two of them are below 1e-7
        rows = ((left * values) @ right.T)[None]
        compressed, _ = _compress(rows, np.zeros((1, k)))
        assert compressed.shape == (1, n, 3)
        np.testing.assert_allclose(np.linalg.svd(compressed[0], compute_uv=False), values[:3], rtol=1e-6)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("zeros", [0.0, 0.2])
def test_neighbours_are_put_together_by_the_kernel_as_by_numpy(kind, zeros):
    counts = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        groups = rng.dirichlet(np.full(5, 0.7), 4)
        groups[rng.random(groups.shape) < zeros] = 0.0
        groups[:, 0] += 0.1  # shared by all
        py_x = groups[np.arange(12) % 4] * rng.uniform(0.7, 1.4, (12, 5))
        joint = JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), rng.dirichlet(np.full(12, 3.0)))
        problem, twin = Problem(joint, as_distortion(kind)), Problem(joint, as_distortion(kind))
        twin.known = None
        beta = float(rng.uniform(3.0, 40.0))
        atoms = problem.atoms_from_members(rng.dirichlet(np.full(12, 0.2), 9), rng.dirichlet(np.ones(9)))
        state = sweep(problem, beta, atoms.normalised())
        for radius in (0.5, 1.0, 2.0, 4.0, 8.0, 30.0):
            first, second = coalesce(problem, state, radius), coalesce(twin, state, radius)
            counts.add(len(first))
            np.testing.assert_allclose(first.weights, second.weights, rtol=1e-10)
            np.testing.assert_allclose(first.means, second.means, rtol=1e-10, atol=1e-12)
            assert (first.face is None) == (second.face is None)
            if first.face is not None:
                np.testing.assert_array_equal(first.face, second.face)
    assert len(counts) > 3
