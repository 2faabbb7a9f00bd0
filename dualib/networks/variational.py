"""Variational bottlenecks as scikit-learn classifiers over any trunk of torch; needs ``pip install "dualib[torch]"``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray, shown, validate_integer
from dualib.information.entropies import mutual_information
from dualib.networks.arrays import as_positive
from dualib.networks.backend import one_thread
from dualib.networks.estimators import info_nce
from dualib.networks.variational_information import (
    VariationalInformation,
    densities,
    label_entropy,
    log_normal,
    residual,
)
from dualib.networks.variational_nets import Nets, Settings, encoded, fitted, log_decoded, prior_of
from dualib.networks.variational_targets import target_of
from dualib.progress import Progress, reporter
from dualib.warnings import DualibWarning

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:  # pragma: no cover - which extra to install
    raise ImportError('the variational bottlenecks need scikit-learn 1.6 or newer: pip install "dualib[torch]"') from error

_NOTHING = 0.01  # of H(Y), below which what predictions of the training examples say of their labels counts as none

__all__ = ["ConditionalEntropyBottleneck", "VariationalDualIB", "VariationalIB"]


class _Variational(ClassifierMixin, BaseEstimator):
    """What the three have in common; a subclass says which terms of the loss it has."""

    classes_: npt.NDArray[Any]
    nets_: Nets
    loss_: Array

    _of_label = True  # b(z|y) in place of r(z)

    def __init__(
        self,
        beta: float = 10.0,
        *,
        latent_dim: int = 8,
        trunk: Any = None,
        epochs: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 1e-4,
        decay_at: tuple[int, ...] = (200, 500, 900),
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        self.beta = beta
        self.latent_dim = latent_dim
        self.trunk = trunk
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.decay_at = decay_at
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> _Variational:
        """Train encoder, prior and decoder, and a copy of the trunk, by Adam.

        Parameters
        ----------
        X : array_like, shape (n, ...)
            Whatever the trunk takes; in single precision.
        y : array_like, shape (n,)
            Labels.

        Returns
        -------
        self
        """
        X, codes = self._checked_fit(X, y)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        n_classes = len(self.classes_)
        target = self._target(X, codes, n_classes, np.random.default_rng([seed, 1]))
        with reporter(self.progress, "fitting") as report, one_thread():
            self.nets_, losses = fitted(self.trunk, X, codes, target, n_classes, self._settings(), seed, report)
        self.loss_ = np.array(losses)
        self._warn_of_nothing(X, codes)
        return self

    def encode(self, X: npt.ArrayLike) -> tuple[Array, Array]:
        """Means and standard deviations of q(z|x), (n, latent_dim) each."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float32, allow_nd=True)
        with one_thread():
            return encoded(self.nets_, rows)

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """p(y | E[z|x]), (n, n_classes), in the order of `classes_`."""
        mean, _ = self.encode(X)
        return np.exp(log_decoded(self.nets_, mean))

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Likeliest label of each x, (n,)."""
        likeliest = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[likeliest]

    def information(
        self, X: npt.ArrayLike, y: npt.ArrayLike, *, n_draws: int = 8, random_state: int | None = 0
    ) -> VariationalInformation:
        """What Z holds of these examples: rate, residual, I(X;Z) and I(Z;Y), each under its own name.

        Parameters
        ----------
        X : array_like, shape (n, ...)
            At least two examples, of those unseen in training; all pairs are compared.
        y : array_like, shape (n,)
            Labels that occur in training.
        n_draws : int
            Samples of z for each example.
        random_state : int or None
            Seed of the samples.

        Returns
        -------
        VariationalInformation
        """
        mean, scale = self.encode(X)
        codes = self._codes(y, len(mean))
        if len(mean) < 2:
            raise ValueError("X must hold at least two examples, for there is no information about which of one")
        prior = prior_of(self.nets_, codes)
        rng = np.random.default_rng(random_state)
        rows: list[list[float]] = []
        for _ in range(validate_integer("n_draws", n_draws, 1)):
            z = mean + scale * rng.standard_normal(mean.shape)
            log_q = densities(z, mean, scale)
            rate = np.mean(np.diagonal(log_q) - log_normal(z, *prior))
            log_p = log_decoded(self.nets_, z)[np.arange(len(codes)), codes]
            rows.append([float(rate), *residual(log_q, codes), *info_nce(log_q), float(np.mean(log_p))])
        rate, residual_lower, residual_upper, lower, upper, log_p = np.mean(rows, axis=0).tolist()
        log_at_mean = log_decoded(self.nets_, mean)
        return VariationalInformation(
            rate=rate,
            rate_bounds="I(X;Z|Y)" if self._of_label else "I(X;Z)",
            residual_lower=residual_lower,
            residual_upper=residual_upper,
            mi_xz_lower=lower,
            mi_xz_upper=upper,
            mi_zy_lower=lower - residual_upper,
            mi_zy_upper=upper - residual_lower,
            mi_zy_decoder=label_entropy(codes) + log_p,
            cross_entropy=-float(np.mean(log_at_mean[np.arange(len(codes)), codes])),
            error=float(np.mean(log_at_mean.argmax(axis=1) != codes)),
        )

    def _warn_of_nothing(self, X: Any, codes: IntArray) -> None:
        """Where Z has collapsed to noise: for small weights that is a minimum, or a place that training does not leave."""
        found = log_decoded(self.nets_, encoded(self.nets_, X)[0]).argmax(axis=1)
        table = np.zeros((len(self.classes_), len(self.classes_)))
        np.add.at(table, (codes, found), 1.0)
        if mutual_information(table) < _NOTHING * label_entropy(codes):
            warnings.warn(
                f"{type(self).__name__} learnt nothing: its prediction says nothing of the label. Give more epochs, a "
                "larger beta or gamma, or, for the dual IB, a target that tells labels apart more sharply",
                DualibWarning,
                stacklevel=3,
            )

    def _weights(self) -> tuple[float, float]:
        """Of the cross-entropy and of the divergence from ptilde."""
        return as_positive("beta", self.beta), 0.0

    def _settings(self) -> Settings:
        beta, gamma = self._weights()
        return Settings(
            beta=beta,
            gamma=gamma,
            of_label=self._of_label,
            latent_dim=validate_integer("latent_dim", self.latent_dim, 1),
            epochs=validate_integer("epochs", self.epochs, 1),
            batch_size=validate_integer("batch_size", self.batch_size, 1),
            learning_rate=as_positive("learning_rate", self.learning_rate),
            decay_at=tuple(validate_integer("decay_at", epoch, 1) for epoch in self.decay_at),
        )

    def _target(self, X: Any, codes: IntArray, n_classes: int, rng: np.random.Generator) -> Any:
        """What there is of ptilde: it is not in the loss."""
        uniform = np.full((1, n_classes), 1.0 / n_classes)
        return lambda batch: uniform

    def _checked_fit(self, X: Any, y: Any) -> tuple[Any, IntArray]:
        X, y = validate_data(self, X, y, dtype=np.float32, allow_nd=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got one class: {shown(self.classes_[0])}")
        return X, codes.reshape(-1).astype(np.int64)

    def _codes(self, y: Any, n: int) -> IntArray:
        labels = np.asarray(y)
        if labels.shape != (n,):
            raise ValueError(f"y must have shape {(n,)}, got {labels.shape}")
        codes = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        unknown = labels[self.classes_[codes] != labels]
        if len(unknown):
            raise ValueError(f"y: {shown(unknown[0])} is no label of the training, which has {shown(self.classes_)}")
        return codes.astype(np.int64)


class VariationalDualIB(_Variational):
    """The variational dual Information Bottleneck: a classifier whose representation forgets x given the label.

    The loss is the mean of ``ln q(z|x) - ln b(z|y) + beta CE + gamma KL(p(y|z) || ptilde(y|x))``, z drawn from q(z|x); with
    beta = 0, the default, what is learnt of y comes from ptilde alone, the decoder first, as in the dual IB.

    Parameters
    ----------
    beta : float
        Weight of the cross-entropy with the labels, >= 0.
    gamma : float
        Weight of the divergence from ptilde, >= 0; one of the two is positive.
    target : "smoothing", "noise", "confusion", array_like (n_classes, n_classes), or a fitted classifier
        ptilde: the label smoothed; the label plus normal noise, drawn for each batch, clipped and divided by its sum; the
        label's row of a confusion matrix, by "confusion" that of nearest neighbours among the training examples; or what
        ``predict_proba`` of a model says of x. Entries are at least 1e-7. The sharper ptilde, the more is learnt, and the more
        sure of itself is the decoder.
    target_scale : float
        Share of the smoothing, or standard deviation of the noise.
    latent_dim : int
        Dimension of z.
    trunk : torch.nn.Module, optional
        What is between X and the encoder: called with a batch of X. It is copied; None: two layers of 256 rectified units.
    epochs, batch_size : int
    learning_rate : float
        Of Adam.
    decay_at : tuple of int
        Epochs after which it is halved.
    random_state : int, RandomState or None
    progress : bool or callable
        A line on stderr, or calls ``progress(done, total)``, one for each epoch.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    nets_ : torch.nn.Module
    loss_ : ndarray, shape (epochs,)
        Mean of the loss over each epoch, nats.
    n_features_in_ : int

    Warns
    -----
    DualibWarning
        Nothing was learnt of the labels.

    Notes
    -----
    Shwartz-Ziv (2022), *Information flow in deep neural networks*; the rest of the nets is as there: sigma of q(z|x) 1e-3 +
    softplus; b(z|y) of 500 rectified units, sigma 1e-2 + softplus; a decoder of two linear maps through 1000 units, at E[z].
    With b(z|y) the rate bounds I(X;Z|Y), not I(X;Z): `information` keeps them apart.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib.networks import VariationalDualIB
    >>> y = np.repeat([0, 1], 50)
    >>> X = np.random.default_rng(0).normal(3.0 * y, size=(4, 100)).T
    >>> model = VariationalDualIB(target_scale=0.1, latent_dim=2, epochs=30, learning_rate=1e-3, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        beta: float = 0.0,
        gamma: float = 1.0,
        *,
        target: Any = "smoothing",
        target_scale: float = 0.02,
        latent_dim: int = 8,
        trunk: Any = None,
        epochs: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 1e-4,
        decay_at: tuple[int, ...] = (200, 500, 900),
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        super().__init__(
            beta,
            latent_dim=latent_dim,
            trunk=trunk,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            decay_at=decay_at,
            random_state=random_state,
            progress=progress,
        )
        self.gamma = gamma
        self.target = target
        self.target_scale = target_scale

    def _weights(self) -> tuple[float, float]:
        beta, gamma = (
            0.0 if value == 0 else as_positive(name, value) for name, value in (("beta", self.beta), ("gamma", self.gamma))
        )
        if beta == gamma == 0.0:
            raise ValueError("beta and gamma must not both be 0: nothing would be learnt of y")
        return beta, gamma

    def _target(self, X: Any, codes: IntArray, n_classes: int, rng: np.random.Generator) -> Any:
        return target_of(self.target, self.target_scale, X, codes, n_classes, rng)


class ConditionalEntropyBottleneck(_Variational):
    """The conditional entropy bottleneck: the loss is the mean of ``ln q(z|x) - ln b(z|y) + beta CE`` (Fischer 2020).

    Parameters
    ----------
    beta : float
        Weight of the cross-entropy, > 0.
    latent_dim, trunk, epochs, batch_size, learning_rate, decay_at, random_state, progress
        As of `VariationalDualIB`, and so are the nets.

    Attributes
    ----------
    classes_, nets_, loss_, n_features_in_
        As of `VariationalDualIB`.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib.networks import ConditionalEntropyBottleneck
    >>> y = np.repeat([0, 1], 50)
    >>> X = np.random.default_rng(0).normal(3.0 * y, size=(4, 100)).T
    >>> model = ConditionalEntropyBottleneck(10.0, latent_dim=2, epochs=30, learning_rate=1e-3, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """


class VariationalIB(_Variational):
    """The variational Information Bottleneck: the loss is the mean of ``ln q(z|x) - ln r(z) + beta CE`` (Alemi et al. 2017).

    r(z) is the standard normal, so that the rate bounds I(X;Z).

    Parameters
    ----------
    beta : float
        Weight of the cross-entropy, > 0; up to 1 nothing is worth its rate.
    latent_dim, trunk, epochs, batch_size, learning_rate, decay_at, random_state, progress
        As of `VariationalDualIB`, and so are the nets but for b(z|y), which there is none of.

    Attributes
    ----------
    classes_, nets_, loss_, n_features_in_
        As of `VariationalDualIB`.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib.networks import VariationalIB
    >>> y = np.repeat([0, 1], 50)
    >>> X = np.random.default_rng(0).normal(3.0 * y, size=(4, 100)).T
    >>> model = VariationalIB(10.0, latent_dim=2, epochs=30, learning_rate=1e-3, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    _of_label = False
