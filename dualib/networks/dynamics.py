"""What gradient flow makes of a Gaussian process of outputs, at any time, in the eigenvectors of the training kernel."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualib._validation import Array
from dualib.networks.estimators import info_nce
from dualib.networks.kernels import Kernels

_LEAST_VARIANCE = 1e-12  # of a prediction, relative to that at the start: what is below is rounding
_EARLY = 1e-4  # of lambda tau / N: learnt in proportion to time, but for a relative error of its square
_SINGULAR = 1e-13  # of the largest eigenvalue: directions that are never learnt


@dataclass(frozen=True)
class Ensemble:
    """Kernels between training points, and from test points to them, with what is to be learnt.

    Attributes
    ----------
    targets : ndarray, shape (n, outputs)
    train : Kernels, (n, n)
    cross : Kernels, (n_test, n)
    test_covariance : ndarray, shape (n_test, n_test)
        K between test points.
    """

    targets: Array
    train: Kernels
    cross: Kernels
    test_covariance: Array

    @functools.cached_property
    def basis(self) -> tuple[Array, Array]:
        """Eigenvalues (n,) and eigenvectors (n, n) of the training Theta."""
        values, vectors = np.linalg.eigh(self.train.ntk)
        return np.maximum(values, 0.0), vectors

    @functools.cached_property
    def rotated(self) -> tuple[Array, Array, Array, Array]:
        """In the eigenvectors: the targets (n, outputs), K (n, n), Theta and K of the test points (n_test, n)."""
        _, vectors = self.basis
        return (
            vectors.T @ self.targets,
            vectors.T @ self.train.nngp @ vectors,
            self.cross.ntk @ vectors,
            self.cross.nngp @ vectors,
        )

    @functools.cached_property
    def rotated_radial(self) -> tuple[Array, Array]:
        """In the eigenvectors: the diagonal (n,) of the training points' radial kernel, and all (n, n) of its NTK."""
        _, vectors = self.basis
        return np.sum(vectors * (self.train.radial @ vectors), axis=0), vectors.T @ self.train.radial_ntk @ vectors

    def at(self, tau: float) -> State:
        """The ensemble after gradient flow for the time tau on ``1/2 mean |f - y|^2``."""
        values, _ = self.basis
        live = values > _SINGULAR * values[-1]
        rate = values / self.targets.size
        with np.errstate(invalid="ignore"):
            learnt = np.where(live, -np.expm1(-np.where(live, rate, 1.0) * tau), 0.0)
        gain = np.divide(learnt, values, out=np.zeros_like(values), where=live)
        targets, covariance, theta, k = self.rotated
        moved = theta * gain
        mixed = moved @ k.T
        return State(
            ensemble=self,
            tau=tau,
            live=live,
            learnt=learnt,
            gain=gain,
            mean=moved @ targets,
            covariance=self.test_covariance + moved @ covariance @ moved.T - mixed - mixed.T,
        )


@dataclass(frozen=True)
class State:
    """The ensemble at one time.

    Attributes
    ----------
    live : ndarray of bool, shape (n,)
        Which eigenvectors of the training kernel are learnt at all, their eigenvalues not being rounding.
    learnt, gain : ndarray, shape (n,)
        1 - exp(-lambda tau / N), and that divided by lambda, of each eigenvalue lambda of the training kernel.
    mean : ndarray, shape (n_test, outputs)
    covariance : ndarray, shape (n_test, n_test)
        Of the predictions of each output, which are independent.
    """

    ensemble: Ensemble
    tau: float
    live: npt.NDArray[np.bool_]
    learnt: Array
    gain: Array
    mean: Array
    covariance: Array

    @property
    def start_variance(self) -> Array:
        """Variance of the predictions before training, (n_test,)."""
        return np.diagonal(self.ensemble.test_covariance)

    @functools.cached_property
    def variance(self) -> Array:
        """Variance of the predictions, (n_test,)."""
        return np.maximum(np.diagonal(self.covariance), _LEAST_VARIANCE * self.start_variance)

    def row(self, targets: Array, noise: Array) -> dict[str, float]:
        """All columns of `EnsembleTable`, with test targets (n_test, outputs) and normal draws (n_draws, n_test, outputs)."""
        left = self.ensemble.rotated[0] * (1.0 - self.learnt)[:, None]
        lower, upper = np.mean([info_nce(self._log_densities(draw)) for draw in noise], axis=0)
        return {
            "time": self.tau,
            "train_loss": 0.5 * float(np.sum(left**2)) / left.size,
            "test_loss": 0.5 * float(np.mean((self.mean - targets) ** 2)),
            "gibbs_loss": self._gibbs_loss(targets),
            "bayes_loss": self._bayes_loss(targets),
            "mi_xz_lower": float(lower),
            "mi_xz_upper": float(upper),
            "mi_zd_given_x": self._divergence_from_start(),
            **self._parameters(),
        }

    def _gibbs_loss(self, targets: Array) -> float:
        """Mean log loss of a network of the ensemble, with unit noise of the outputs, per test point."""
        squares = np.mean(np.sum((targets - self.mean) ** 2, axis=1))
        return float(0.5 * (squares + targets.shape[1] * (np.mean(np.diagonal(self.covariance)) + np.log(2.0 * np.pi))))

    def _bayes_loss(self, targets: Array) -> float:
        """Log loss of the whole ensemble's joint prediction, with unit noise of the outputs, per test point."""
        from scipy.linalg import solve_triangular

        factor = np.linalg.cholesky(self.covariance + np.eye(len(targets)))
        white = solve_triangular(factor, targets - self.mean, lower=True)
        log_scale = np.sum(np.log(np.diagonal(factor))) + 0.5 * len(targets) * np.log(2.0 * np.pi)
        return float((0.5 * np.sum(white**2) + targets.shape[1] * log_scale) / len(targets))

    def _log_densities(self, draw: Array) -> Array:
        """The ln p(z_i | x_j), (n_test, n_test), of one prediction for each test point."""
        samples = self.mean + np.sqrt(self.variance)[:, None] * draw
        squares = np.sum((samples[:, None, :] - self.mean[None, :, :]) ** 2, axis=2)
        return -0.5 * (squares / self.variance + draw.shape[1] * np.log(2.0 * np.pi * self.variance))

    def _divergence_from_start(self) -> float:
        """Mean KL of the distribution of a prediction from that before training."""
        ratio = self.variance / self.start_variance
        squares = np.sum(self.mean**2, axis=1) / self.start_variance
        return float(0.5 * np.mean(squares + self.mean.shape[1] * (ratio - 1.0 - np.log(ratio))))

    def _parameters(self) -> dict[str, float]:
        """Of the parameters, over the ensemble: trace of the Fisher information, distance travelled, information about the data."""
        targets, covariance, *_ = self.ensemble.rotated
        n_outputs = targets.shape[1]
        second_moment = n_outputs * covariance + targets @ targets.T  # of the errors before training
        distance = float(np.sum(np.diagonal(second_moment) * self.gain * self.learnt))
        # |theta|^2 changes at the rate -2 g.(f - y) / N, g = theta . grad f, which moves with its own kernel as f does with Theta
        radial, radial_ntk = self.ensemble.rotated_radial
        growth = 2.0 * float(np.sum(second_moment * radial_ntk * self._both_learnt()) - n_outputs * np.sum(self.gain * radial))
        fisher = n_outputs * float(np.trace(self.ensemble.train.ntk))
        return {
            "fisher": fisher,
            "parameter_distance": distance,
            "mi_theta_d": self.tau * fisher / self.ensemble.targets.size + 0.5 * growth,
        }

    def _both_learnt(self) -> Array:
        """The integral over time of ``exp(-lambda_i t / N) (1 - exp(-lambda_j t / N)) / (N lambda_j)``, (n, n)."""
        values, scale = self.ensemble.basis[0], self.tau / self.ensemble.targets.size
        both = np.add.outer(values, values)
        live = np.outer(self.live, self.live)
        with np.errstate(invalid="ignore"):
            early = (values * scale < _EARLY)[None, :] & live
        late = live & ~early
        together = np.divide(
            self.learnt[:, None] + np.multiply.outer(1.0 - self.learnt, self.learnt), both, where=late, out=np.zeros_like(both)
        )
        result = np.divide(self.gain[:, None] - together, values[None, :], where=late, out=np.zeros_like(both))
        if early.any():  # a derivative in place of the difference quotient, all of whose digits cancel
            middle = (values[:, None] + 0.5 * values[None, :])[early] * scale
            result[early] = -(scale**2) * _mean_decay_slope(middle)
        return result


def _mean_decay_slope(x: Array) -> Array:
    """The derivative of (1 - exp(-x)) / x."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = (np.exp(-x) * (x + 1.0) - 1.0) / x**2
    return np.where(x < 1e-3, -0.5 + x / 3.0 - x**2 / 8.0 + x**3 / 30.0, exact)
