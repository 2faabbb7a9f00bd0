"""Ensembles of infinitely wide networks under gradient descent, whose every information is a closed form or a certain bound.

The outputs of the ensemble at any time are a Gaussian process, so that losses, the information of a prediction about its input and
about the training data, and the distance that the parameters travel are a few products of matrices (Shwartz-Ziv and Alemi 2020,
*Information in infinite ensembles of infinitely-wide neural networks*).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, shown, validate_integer
from dualib.networks.arrays import as_positive, as_rows
from dualib.networks.dynamics import Ensemble
from dualib.networks.ensemble_table import EnsembleTable
from dualib.networks.kernels import ACTIVATIONS, Kernels, kernels
from dualib.progress import Progress, reporter


class InfiniteEnsemble:
    """All networks of infinite width that start at random and are trained by gradient flow on the same data.

    Parameters
    ----------
    depth : int
        Hidden layers; 0 is a linear model.
    activation : {"relu", "erf"}
    sigma_w, sigma_b : float
        Scales of weights (> 0) and biases (>= 0): ``z = sigma_w W phi / sqrt(width) + sigma_b b``, W and b standard normal.
    kernel : {"ntk", "nngp"}
        What is trained: all parameters, or those of the last layer alone.

    Raises
    ------
    ValueError
        Any other value.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib import networks
    >>> ensemble = networks.InfiniteEnsemble(depth=2, activation="relu", sigma_w=1.3, sigma_b=0.2)
    >>> x = np.random.RandomState(0).randn(5, 7)
    >>> float(ensemble.ntk(x)[0, 1].round(8))
    1.47034784
    """

    def __init__(
        self,
        depth: int = 2,
        activation: str = "relu",
        sigma_w: float = 1.3,
        sigma_b: float = 0.2,
        kernel: str = "ntk",
    ) -> None:
        self.depth = validate_integer("depth", depth, 0)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {shown(activation)}")
        if kernel not in ("ntk", "nngp"):
            raise ValueError(
                f"kernel must be 'ntk' (all parameters are trained) or 'nngp' (the last layer), got {shown(kernel)}"
            )
        self.activation, self.kernel = activation, kernel
        self.sigma_w = as_positive("sigma_w", sigma_w)
        self.sigma_b = 0.0 if sigma_b == 0 else as_positive("sigma_b", sigma_b)

    def nngp(self, x1: npt.ArrayLike, x2: npt.ArrayLike | None = None) -> Array:
        """K (n1, n2), the covariance of the outputs at the start, of inputs (n1, d) and (n2, d); x2 None: x1 again."""
        return self._kernels(x1, x2).nngp

    def ntk(self, x1: npt.ArrayLike, x2: npt.ArrayLike | None = None) -> Array:
        """Theta (n1, n2), the products of the gradients of the outputs by all parameters; arguments as of `nngp`."""
        return self._kernels(x1, x2).ntk

    def predict(self, X: npt.ArrayLike, y: npt.ArrayLike, X_test: npt.ArrayLike, time: float = np.inf) -> tuple[Array, Array]:
        """The predictions of the ensemble after training: their mean (n_test, outputs) and covariance (n_test, n_test).

        The covariance is that of each output; outputs are independent. Arguments as of `information`, with one `time` >= 0.
        """
        data = [as_rows(name, array) for name, array in (("X", X), ("y", y), ("X_test", X_test))]
        _check_fit(*data)
        state = self._at_work(*data).at(float(_times(time)[0]))
        return state.mean, state.covariance

    def information(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        X_test: npt.ArrayLike,
        y_test: npt.ArrayLike,
        times: npt.ArrayLike,
        *,
        n_draws: int = 16,
        random_state: int | np.random.Generator | None = 0,
        progress: Progress = False,
    ) -> EnsembleTable:
        """Losses and informations after training for each of `times`.

        Gradient flow of the loss ``1/2 mean |f - y|^2`` over all entries of y.

        Parameters
        ----------
        X, X_test : array_like, shape (n, d) and (n_test, d)
            Inputs; at least two for the test.
        y, y_test : array_like, shape (n, outputs) and (n_test, outputs), or (n,) and (n_test,)
        times : array_like, shape (n_times,)
            Training times >= 0; infinity is allowed.
        n_draws : int
            Predictions drawn for each test point, of which the bounds of I(X;Z) are means.
        random_state : int, Generator or None
            Of these draws; None is a fresh seed.
        progress : bool or callable
            A line on stderr, or calls ``progress(done, total)``, one for each time.

        Returns
        -------
        EnsembleTable
            One entry per time; its columns are explained there.

        Raises
        ------
        ValueError, TypeError
            Arrays that are not finite or do not fit together; negative times.
        """
        data = [as_rows(name, array) for name, array in (("X", X), ("y", y), ("X_test", X_test), ("y_test", y_test))]
        *training, test_targets = data
        _check_fit(*training)
        if test_targets.shape != (len(training[2]), training[1].shape[1]):
            expected = (len(training[2]), training[1].shape[1])
            raise ValueError(f"y_test must have shape {expected}, a row for each of X_test, got {test_targets.shape}")
        if len(test_targets) < 2:
            raise ValueError("X_test must hold at least two inputs, for there is no information about which of one")
        taus = _times(times)
        draws = validate_integer("n_draws", n_draws, 1)
        ensemble = self._at_work(*training)
        noise = np.random.default_rng(random_state).standard_normal((draws, *test_targets.shape))
        rows = []
        with reporter(progress, "ensemble") as report:
            report.expect(len(taus))
            for tau in taus:
                rows.append(ensemble.at(float(tau)).row(test_targets, noise))
                report.step()
        return EnsembleTable.of(rows)

    def _at_work(self, X: Array, y: Array, X_test: Array) -> Ensemble:
        return Ensemble(
            targets=y,
            train=self._trained(self._kernels(X, None)),
            cross=self._trained(self._kernels(X_test, X)),
            test_covariance=self.nngp(X_test),
        )

    def _kernels(self, x1: Any, x2: Any) -> Kernels:
        first = as_rows("x1", x1)
        second = None if x2 is None else as_rows("x2", x2)
        if second is not None and second.shape[1] != first.shape[1]:
            raise ValueError(f"x2 must have {first.shape[1]} columns as x1 has, got shape {second.shape}")
        return kernels(first, second, self.depth, self.activation, self.sigma_w, self.sigma_b)

    def _trained(self, of_all: Kernels) -> Kernels:
        """The kernels of the parameters that are trained: of the last layer alone Theta is K, and outputs are linear in it."""
        return of_all if self.kernel == "ntk" else Kernels(of_all.nngp, of_all.nngp, of_all.nngp, of_all.nngp)

    def __repr__(self) -> str:
        scales = f"sigma_w={self.sigma_w:g}, sigma_b={self.sigma_b:g}"
        return f"InfiniteEnsemble(depth={self.depth}, activation={self.activation!r}, {scales}, kernel={self.kernel!r})"


def _check_fit(X: Array, y: Array, X_test: Array) -> None:
    if len(X) != len(y):
        raise ValueError(f"y must have one row for each of X, {len(X)}, got shape {y.shape}")
    if X_test.shape[1] != X.shape[1]:
        raise ValueError(f"X_test must have {X.shape[1]} columns as X has, got shape {X_test.shape}")


def _times(times: Any) -> Array:
    """Training times (n_times,), >= 0; infinity is one."""
    values = np.atleast_1d(np.asarray(times))
    if values.ndim != 1 or not values.size or values.dtype.kind not in "iuf" or not (values >= 0.0).all():
        raise ValueError(f"times must be numbers >= 0, got {shown(times)}")
    return values.astype(np.float64)
