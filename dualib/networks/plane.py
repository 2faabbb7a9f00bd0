"""`information_plane`: rate and relevance of every layer, beside the certified curve of the data."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray, shown
from dualib.networks.arrays import as_conditionals
from dualib.networks.bound import Bound
from dualib.networks.measures import OTHER_LIMITS, Measure, model_of
from dualib.networks.recording import Recording
from dualib.networks.snapshots import snapshots_of
from dualib.progress import Progress, reporter
from dualib.results.common import frozen
from dualib.warnings import DualibWarning

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from dualib.results.curve import Curve

SATURATION = 0.99  # of log n: a rate above says that nearly every input has a symbol of its own, whatever the network did


@dataclass(frozen=True)
class InformationPlane:
    """Rate and relevance of layers of networks; columns of one entry per layer, epoch and seed.

    Attributes
    ----------
    layer : tuple of str
    epoch, seed : ndarray of int, shape (n_rows,)
    rate, relevance : ndarray, shape (n_rows,)
        I(X;T) and I(T;Y) of the layer under the `model`, nats.
    saturated : ndarray of bool, shape (n_rows,)
        Whether the rate is above 0.99 log n: nearly every input has a symbol of its own, and the rate says nothing but that.
    rate_bounds, relevance_bounds : ndarray, shape (n_rows, 2), or None
        Lower and upper bounds under the model, of estimator "kde".
    estimator, model : str
        The model of bins or noise under which alone the numbers hold, in words; it stands in the title of every picture.
    n : int
        Number of inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib import networks
    >>> plane = networks.information_plane({"sign": np.array([[-0.9], [-0.8], [0.8], [0.9]])}, [0, 0, 1, 1], bins=3)
    >>> plane.layer, plane.rate.round(4).tolist()
    (('sign',), [0.6931])
    """

    layer: tuple[str, ...]
    epoch: IntArray
    seed: IntArray
    rate: Array
    relevance: Array
    rate_bounds: Array | None
    relevance_bounds: Array | None
    estimator: str
    model: str
    n: int
    bound: Bound

    @functools.cached_property
    def saturated(self) -> npt.NDArray[np.bool_]:
        """Whether the rate is above 0.99 log n."""
        return self.rate > SATURATION * np.log(self.n)

    @property
    def curve(self) -> Curve:
        """The certified IB curve of p(x, y), of the classes of x with equal p(y|x); solved at its first use."""
        return self.bound.curve

    @functools.cached_property
    def gap(self) -> Array | None:
        """The most relevance that any representation of the same rate keeps, less the layer's, nats.

        It is never below 0 but for rounding. Of binned layers, which are representations of x themselves; None for the other
        estimators, whose values are not certain.
        """
        return self.bound.relevance(self.rate) - self.relevance if self.estimator == "binned" else None

    def to_dataframe(self) -> pandas.DataFrame:
        """Columns layer, epoch, seed, rate, relevance, gap, saturated, and bounds where there are any; needs ``dualib[pandas]``."""
        from dualib.data.frames import data_frame

        columns: dict[str, Any] = {name: getattr(self, name) for name in ("layer", "epoch", "seed", "rate", "relevance")}
        columns |= {"gap": [None] * len(self.layer) if self.gap is None else self.gap, "saturated": self.saturated}
        for name in ("rate", "relevance"):
            bounds = getattr(self, f"{name}_bounds")
            if bounds is not None:
                columns |= {f"{name}_lower": bounds[:, 0], f"{name}_upper": bounds[:, 1]}
        return data_frame(columns)

    def plot(self, curve: Curve | None = None, ax: Axes | None = None, *, unit: str = "bits") -> Axes:
        """All layers of all seeds on one plane, coloured by epoch, with the certified curve.

        Parameters
        ----------
        curve : Curve, optional
            A certified IB curve of the same data to draw; by default the plane's own.
        ax : Axes, optional
        unit : {"bits", "nats"}

        Returns
        -------
        Axes
        """
        from dualib.networks.plane_pictures import plot_plane

        return plot_plane(self, self._checked(curve), ax, unit)

    def plot_layers(self, curve: Curve | None = None, *, unit: str = "bits") -> npt.NDArray[Any]:
        """One panel a layer, a line for each seed through its epochs, with the certified curve.

        Returns
        -------
        ndarray of Axes, one for each layer
        """
        from dualib.networks.plane_pictures import plot_layers

        return plot_layers(self, self._checked(curve), unit)

    def plot_gap(self, ax: Axes | None = None, *, unit: str = "bits") -> Axes:
        """Each layer's certified distance from the curve against the epoch, the mean over seeds and each of them."""
        from dualib.networks.plane_pictures import plot_gap

        if self.gap is None:
            raise ValueError(f"a certified distance is stated of binned layers only, not of estimator {self.estimator!r}")
        return plot_gap(self, ax, unit)

    def _checked(self, curve: Curve | None) -> Bound:
        if curve is None:
            return self.bound
        self.bound.check(curve)
        return Bound(self.bound.joint, curve)

    def __repr__(self) -> str:
        layers, epochs, seeds = (len(set(column)) for column in (self.layer, self.epoch.tolist(), self.seed.tolist()))
        least = "" if self.gap is None else f"; nearest to the certified curve: {self.gap.min():.3g} nats"
        return (
            f"InformationPlane({self.model}): {layers} layers, {epochs} epochs, {seeds} seeds, {self.n} inputs\n"
            f"  rate {self.rate.min():.4g} to {self.rate.max():.4g} of at most {np.log(self.n):.4g} nats, "
            f"saturated: {int(self.saturated.sum())} of {len(self.layer)}\n"
            f"  relevance {self.relevance.min():.4g} to {self.relevance.max():.4g} "
            f"of I(X;Y) = {self.bound.joint.mutual_information:.4g} nats{least}"
        )


def information_plane(
    layers: Mapping[str, Any] | Sequence[Any] | Recording,
    y: npt.ArrayLike | None = None,
    estimator: str = "binned",
    *,
    epochs: npt.ArrayLike | None = None,
    seeds: npt.ArrayLike | None = None,
    curve: Curve | None = None,
    progress: Progress = False,
    **options: Any,
) -> InformationPlane:
    """Rate I(X;T) and relevance I(T;Y) of every layer T, under a model of bins or of noise.

    For a deterministic network with continuous activations I(X;T) itself is infinite, or the entropy of x, and does not depend
    on what was learnt (Saxe et al. 2018; Amjad and Geiger 2020; Goldfeld et al. 2019). What is computed belongs to the bins or
    the noise.

    Parameters
    ----------
    layers : mapping of name to array, list of arrays, or Recording
        Activations (n, units) of all inputs, (epochs, n, units) or (seeds, epochs, n, units), of any framework whose arrays NumPy
        reads, and tensors of torch. The rows are distinct and equally likely x.
    y : array_like, shape (n,) or (n, n_y)
        Labels, or p(y|x); of a Recording its own by default.
    estimator : {"binned", "kde", "ksg", "info_nce"}
        See `binned`, `kde_bounds`, `ksg`, `info_nce`. By "kde" the rate is the upper bound, the relevance the difference of upper
        bounds with and without y, and the bounds of both are kept.
    epochs, seeds : array_like of int, optional
        Numbers of the epochs and seeds in the arrays; of a Recording which to take.
    curve : Curve, optional
        A certified IB curve of the data, where it is known already; else it is solved when it is needed, on the classes of x with
        equal p(y|x), which takes long where there are thousands.
    progress : bool or callable
        A line on stderr, or calls ``progress(done, total)``, one for each epoch of each seed.
    **options
        Of the estimator: ``bins=30, limits=(-1, 1)`` of "binned"; of all others ``noise``, the variance of the noise, which
        must be given; ``k=4, repeats=8`` of "ksg"; ``random_state=0`` of "ksg" and "info_nce".

    Returns
    -------
    InformationPlane

    Raises
    ------
    ValueError, TypeError
        Arrays that do not fit together or are not finite; an unknown estimator; options that are missing, unknown or out of
        range.

    Warns
    -----
    DualibWarning
        More than a hundredth of a layer's activations lie beyond the bins.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib import networks
    >>> plane = networks.information_plane({"sign": np.array([[-0.9], [-0.8], [0.8], [0.9]])}, [0, 0, 1, 1], bins=3)
    >>> plane.rate.round(4).tolist(), plane.relevance.round(4).tolist(), plane.gap.round(4).tolist()
    ([0.6931], [0.6931], [0.0])
    """
    snapshots = snapshots_of(layers, epochs, seeds)
    if y is not None:
        py_x = as_conditionals(y, snapshots.n)
    elif isinstance(layers, Recording):
        py_x = layers.py_x
    else:
        raise ValueError("y must be given: labels (n,) or p(y|x) (n, n_y)")
    model = model_of(estimator, options)
    bound = Bound.of(py_x, curve)
    rows: list[tuple[str, int, int]] = []
    measures: list[Measure] = []
    outside: dict[str, float] = {}
    with reporter(progress, "plane") as report:
        report.expect(len(snapshots))
        for seed, epoch, found in snapshots:
            for name, activations in found.items():
                rows.append((name, epoch, seed))
                measures.append(model.measure(activations, py_x))
                beyond = (activations < model.limits[0]) | (activations > model.limits[1])
                outside[name] = max(outside.get(name, 0.0), float(np.mean(beyond)))
            report.step()
    _warn_of_outside(outside)
    names, epoch_of, seed_of = zip(*rows, strict=True)
    return InformationPlane(
        layer=names,
        epoch=frozen(epoch_of, np.int64),
        seed=frozen(seed_of, np.int64),
        rate=frozen([measure.rate for measure in measures]),
        relevance=frozen([measure.relevance for measure in measures]),
        rate_bounds=_bounds([measure.rate_bounds for measure in measures]),
        relevance_bounds=_bounds([measure.relevance_bounds for measure in measures]),
        estimator=estimator,
        model=model.title,
        n=snapshots.n,
        bound=bound,
    )


def _bounds(values: list[Any]) -> Array | None:
    return None if values[0] is None else frozen(values)


def _warn_of_outside(outside: dict[str, float]) -> None:
    worst = max(outside, key=lambda name: outside[name])
    if outside[worst] > OTHER_LIMITS:
        warnings.warn(
            f"up to {outside[worst]:.0%} of the activations of {shown(worst)} lie beyond the limits of the bins and fall into "
            "the outer ones: give limits=(lowest, highest)",
            DualibWarning,
            stacklevel=3,
        )
