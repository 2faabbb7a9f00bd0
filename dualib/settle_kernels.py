"""The local minimum below given atoms, those that one would replace put together, as one compiled kernel.

A descent (`dualib.descent_kernels`) watches for pairs of atoms that meet, for two on their way to one slow it down; these are put
together (`dualib.merge_kernels`) where one in their place would be stable, and the descent goes on.
"""

from __future__ import annotations

import numpy as np

from dualib.descent_kernels import descend_known
from dualib.jit import apart, kernel
from dualib.merge_kernels import coalesced

SAME = 1e-6  # squared natural distance below which two points are one
_SETTLED = 1e-12  # residual aimed at
_descend, _coalesced = apart(descend_known), apart(coalesced)
_MOST_ROUNDS = 5  # of descents, beside those after which pairs are put together


@kernel(
    "Tuple((boolean, int64[::1], int64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64, float64,"
    " float64[:, ::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1]))(int64, float64,"
    " float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1],"
    " boolean[:, ::1], int64, int64, int64, int64, float64, float64)"
)
def settled_known(  # type: ignore[no-untyped-def]
    kind, beta, px, u, pxu, ut, weights, means, face, allowed, left, most, look, times, close, closer
):
    """Descend to a local minimum without the atoms that lose their weight, or their place to another, on the way.

    Parameters
    ----------
    left, most : int
        Sweeps and products of conjugate gradients, in all and in one descent.
    look, times : int
        From one look at the pairs of atoms to the next; how often pairs are put together.
    close, closer : float
        Squared natural distance of a pair that may meet, and of one that may after that.

    Returns
    -------
    settled : bool
        False where the descents do not end.
    kept : (m,) int
        The atoms left, among those given.
    taken : int
        Sweeps and products.
    weights, means, v, b, value, residual, posterior, log_z, c, new_weights, new_means, new_v, new_b
        The atoms and the sweep there, as of `dualib.descent_kernels.descend_known`.
    """
    kept, taken, turn = np.arange(weights.shape[0]), 0, 0
    while True:
        near = close if turn < times else closer
        ended = _descend(kind, beta, px, pxu, ut, weights, means, face, allowed, _SETTLED, min(most, left - taken), look, near)
        at_rest, own, spent, closest = ended[0], ended[1], ended[2], ended[3]
        weights, means, post, to_means, to_v = ended[4], ended[5], ended[10], ended[14], ended[15]
        kept, taken, turn = kept[own], taken + spent, turn + 1
        face, allowed = face[own] if face.shape[0] > 0 else face, allowed[own] if allowed.shape[0] > 0 else allowed
        done, radius = at_rest, SAME if at_rest else near
        if closest < radius:
            alone, weights, means = _coalesced(kind, beta, px, u, ut, to_means, to_v, face, post, radius)
            done = at_rest and alone.shape[0] == kept.shape[0]
        if done or turn == _MOST_ROUNDS + times or taken >= left or not (at_rest or closest < near):
            return (done, kept, taken) + ended[4:]  # noqa: RUF005 (numba knows no other way)
        if closest < radius:
            kept, face = kept[alone], face[alone] if face.shape[0] > 0 else face
            allowed = allowed[alone] if allowed.shape[0] > 0 else allowed
