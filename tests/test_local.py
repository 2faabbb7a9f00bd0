"""The rows of Newton's system in few columns: the same products."""

import numpy as np
import pytest

from dualib.curvature import _compress


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
