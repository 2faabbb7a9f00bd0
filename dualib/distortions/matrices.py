"""Rate-distortion with a matrix: reproductions that do not move."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array
from dualib.distortions.interface import Array, Distortion, Mask


class RateDistortion(Distortion):
    """Plain rate-distortion with a given matrix: d(x, j) = D[x, j] (Shannon 1959; Blahut 1972, Arimoto 1972).

    The reproduction alphabet is the columns of D, so the certificate is exact: the maximum of c runs over n_j columns. The
    decoder row of a cluster is the indicator of its column, shape (n_t, n_j).

    Parameters
    ----------
    matrix : array_like, shape (n_x, n_j)
        Finite distortions; n_x is that of the joint distribution to be solved.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.bernoulli(0.3)  # y = x
    >>> solution = dualib.solve(joint, 2.0, dualib.RateDistortion([[0, 1], [1, 0]]))  # Hamming distortion
    >>> round(solution.rate, 8), solution.certificate
    (0.24553045, 'rigorous')
    >>> round(dualib.closed_forms.bernoulli_hamming(0.3, 2.0).rate, 8)
    0.24553045
    """

    name = "rate-distortion"
    fixed_atoms = True

    def __init__(self, matrix: npt.ArrayLike) -> None:
        self.matrix = as_float_array("matrix", matrix, 2)
        self.matrix.flags.writeable = False

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = -D, a = 0."""
        if len(py_x) != len(self.matrix):
            raise ValueError(
                f"matrix has {len(self.matrix)} rows, one for each training x, but {len(py_x)} source states were given"
            )
        return -self.matrix, np.zeros(len(py_x))

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = M, the indicator of the column; b = 0."""
        return means, np.zeros(len(means))

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """The indicator of the column."""
        return means

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """Zero: the columns do not move."""
        return np.zeros((*means.shape, means.shape[1]))

    def jacobian_parts(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """Zero."""
        return np.zeros_like(means), np.zeros_like(means)

    def to_config(self) -> dict[str, Any]:
        """The name and the matrix."""
        return {"name": self.name, "matrix": self.matrix}

    def __repr__(self) -> str:
        return f"RateDistortion(matrix of {self.matrix.shape[0]} x {self.matrix.shape[1]})"
