"""Anderson acceleration of the sweep, for problems too large for Newton's method."""

from __future__ import annotations

from collections import deque

import numpy as np

from dualib.distortions import Array
from dualib.problem import Atoms, Sweep


class Anderson:
    """Anderson acceleration of the sweep on (log w, M), for the present set of atoms."""

    def __init__(self, depth: int = 5) -> None:
        self._points: deque[Array] = deque(maxlen=depth + 1)
        self._steps: deque[Array] = deque(maxlen=depth + 1)

    def clear(self) -> None:
        """Forget the history: the set of atoms has changed, or the last proposal was refused."""
        self._points.clear()
        self._steps.clear()

    def propose(self, state: Sweep) -> Atoms | None:
        """The extrapolated atoms; None while the history is too short or where the extrapolation is unusable."""
        old, new = state.atoms, state.new
        if (new.weights <= 0.0).any():
            return None
        point = np.concatenate([np.log(old.weights), old.means.ravel()])
        step = np.concatenate([np.log(new.weights), new.means.ravel()]) - point
        if self._points and len(self._points[-1]) != len(point):
            self.clear()
        self._points.append(point)
        self._steps.append(step)
        if len(self._points) < 2:
            return None
        points, steps = np.array(self._points), np.array(self._steps)
        scale = np.concatenate([np.sqrt(old.weights), np.repeat(np.sqrt(old.weights), old.means.shape[1])])
        mixing, *_ = np.linalg.lstsq((np.diff(steps, axis=0) * scale).T, step * scale, rcond=1e-10)
        mixed = point + step - mixing @ (np.diff(points, axis=0) + np.diff(steps, axis=0))
        log_w = mixed[: len(old)]
        if not np.isfinite(mixed).all() or log_w.max() > 50.0:
            return None
        weights = np.exp(log_w - log_w.max())
        return Atoms(np.maximum(weights, 1e-300), mixed[len(old) :].reshape(old.means.shape), old.face).normalised()
