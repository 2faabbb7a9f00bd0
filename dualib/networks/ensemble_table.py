"""`EnsembleTable`: what an ensemble knows after each time of training, as columns, a data frame and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dualib._validation import Array, validate_choice

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class EnsembleTable:
    """One entry per time, all arrays (n_times,); informations in nats.

    Attributes
    ----------
    time : ndarray
        Of gradient flow on ``1/2 mean |f - y|^2``.
    train_loss, test_loss : ndarray
        ``1/2 mean |mu - y|^2`` of the mean prediction mu.
    gibbs_loss, bayes_loss : ndarray
        Log loss per test point, with unit noise of the outputs: of one network of the ensemble on average, and of all together (the
        joint density of all test outputs under their mixture, which is never worse).
    mi_xz_lower, mi_xz_upper : ndarray
        Bounds of I(X;Z|D): what a prediction Z of one network says about which input it is for; the lower one at most log n_test.
    mi_zd_given_x : ndarray
        Upper bound of I(Z;D|X), what a prediction says of the training data.
    fisher : ndarray
        Trace of the Fisher information, of Theta over training points and outputs; it stays as it is in time.
    parameter_distance : ndarray
        ``E |theta_tau - theta_0|^2``.
    mi_theta_d : ndarray
        Upper bound of I(theta;D), what the parameters hold of the training data.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib import networks
    >>> x = np.random.default_rng(0).normal(size=(12, 3))
    >>> table = networks.InfiniteEnsemble().information(x[:8], x[:8, 0], x[8:], x[8:, 0], [0.1, 1.0, 10.0])
    >>> bool((np.diff(table.train_loss) < 0.0).all()), bool((table.mi_xz_lower <= table.mi_xz_upper).all())
    (True, True)
    """

    time: Array
    train_loss: Array
    test_loss: Array
    gibbs_loss: Array
    bayes_loss: Array
    mi_xz_lower: Array
    mi_xz_upper: Array
    mi_zd_given_x: Array
    fisher: Array
    parameter_distance: Array
    mi_theta_d: Array

    @classmethod
    def of(cls, rows: Sequence[dict[str, float]]) -> EnsembleTable:
        """From one row per time."""
        return cls(**{field.name: np.array([row[field.name] for row in rows]) for field in dataclasses.fields(cls)})

    def __len__(self) -> int:
        return len(self.time)

    def early_stopping(self, loss: str = "test_loss") -> float:
        """The time, of those in the table, at which a loss of the test is least.

        Parameters
        ----------
        loss : {"test_loss", "gibbs_loss", "bayes_loss"}
        """
        validate_choice("loss", loss, ("test_loss", "gibbs_loss", "bayes_loss"))
        return float(self.time[np.argmin(getattr(self, loss))])

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per time; needs ``pip install "dualib[pandas]"``."""
        from dualib.data.frames import data_frame

        return data_frame({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    def plot_losses(self, ax: Axes | None = None) -> Axes:
        """Losses against time, with the times of early stopping."""
        from dualib.networks.pictures import plot_losses

        return plot_losses(self, ax)

    def plot_information(self, ax: Axes | None = None) -> Axes:
        """Informations against time: I(X;Z|D) as the band between its bounds, the others as the bounds they are."""
        from dualib.networks.pictures import plot_information

        return plot_information(self, ax)
