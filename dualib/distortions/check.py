"""Whether the four functions of a distortion agree with each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array
from dualib.distortions.interface import Distortion


def check_distortion(distortion: Distortion, py_x: npt.ArrayLike, *, tol: float = 1e-5) -> None:
    """Test a distortion of one's own on conditionals `py_x` (n_x, n_y), all positive, and say what is wrong.

    Checked: shapes; that J is the Jacobian of V (central differences) and symmetric; that the gradient of b is J M, which
    makes the mean feature vector the exact centroid.

    Raises
    ------
    ValueError
        Naming the method at fault and by how much.
    """
    conditionals = as_float_array("py_x", py_x, 2)
    features, offset = distortion.lift(conditionals)
    n_x = len(conditionals)
    if features.ndim != 2 or features.shape[0] != n_x or offset.shape != (n_x,):
        raise ValueError(f"lift must return shapes (n_x, k) and (n_x,), got {features.shape} and {offset.shape}")
    mean = features.mean(axis=0, keepdims=True)
    jacobian = distortion.link_jacobian(mean)[0]
    if jacobian.shape != (features.shape[1],) * 2:
        raise ValueError(f"link_jacobian must return shape (n_t, k, k), got {(1, *jacobian.shape)}")
    scale = 1.0 + np.max(np.abs(jacobian))
    step = 1e-6 * (1.0 + np.max(np.abs(mean)))
    for direction in (features - mean) / (1e-300 + np.max(np.abs(features - mean))):
        above, b_above = distortion.link(mean + step * direction)
        below, b_below = distortion.link(mean - step * direction)
        error = np.max(np.abs((above - below)[0] / (2 * step) - jacobian @ direction)) / scale
        if not error <= tol:
            raise ValueError(f"link_jacobian is not the derivative of link: relative error {error:.1e}")
        error = abs((b_above - b_below)[0] / (2 * step) - mean[0] @ jacobian @ direction) / (scale * (1 + np.abs(mean).max()))
        if not error <= tol:
            raise ValueError(f"link: the gradient of b is not J M, so M is no centroid: relative error {error:.1e}")
    if np.max(np.abs(jacobian - jacobian.T)) > tol * scale:
        raise ValueError("link_jacobian is not symmetric: V is not the gradient of a function of M")
