"""What an information plane is drawn of: layers by name, seed and epoch, whichever way they were given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray, shown
from dualib.networks.arrays import as_rows, to_numpy
from dualib.networks.recording import Recording


@dataclass(frozen=True)
class Snapshots:
    """Layers of networks.

    Attributes
    ----------
    names : tuple of str
    seeds, epochs : ndarray of int
    layers : function
        Called with the positions of a seed and an epoch: all layers by name, each (n, units).
    n : int
        Number of inputs.
    """

    names: tuple[str, ...]
    seeds: IntArray
    epochs: IntArray
    layers: Callable[[int, int], Mapping[str, Array]]
    n: int

    def __iter__(self) -> Iterator[tuple[int, int, Mapping[str, Array]]]:
        """Seed, epoch and all layers, seed by seed."""
        for i, seed in enumerate(self.seeds):
            for j, epoch in enumerate(self.epochs):
                yield int(seed), int(epoch), self.layers(i, j)

    def __len__(self) -> int:
        return len(self.seeds) * len(self.epochs)


def snapshots_of(layers: Any, epochs: Any = None, seeds: Any = None) -> Snapshots:
    """Of a Recording, of a mapping of name to array, or of a list of arrays.

    Raises
    ------
    TypeError, ValueError
        Something else; arrays of different numbers of inputs, epochs or seeds, or that are not finite.
    """
    if isinstance(layers, Recording):
        return _of_recording(layers, epochs, seeds)
    if isinstance(layers, Mapping):
        named = {str(name): _stack(str(name), array) for name, array in layers.items()}
    elif isinstance(layers, Sequence):
        named = {f"layer {i + 1}": _stack(f"layer {i + 1}", array) for i, array in enumerate(layers)}
    else:
        raise TypeError(f"layers must be a mapping of name to array, a list of arrays or a Recording, got {shown(layers)}")
    if not named:
        raise ValueError("layers must hold at least one array (n, units), got none")
    first = next(iter(named.values())).shape[:3]
    for name, array in named.items():
        if array.shape[:3] != first:
            raise ValueError(
                f"layers must agree in seeds, epochs and inputs: {name!r} has {array.shape[:3]}, another one {first}"
            )
    return Snapshots(
        names=tuple(named),
        seeds=_numbers("seeds", seeds, first[0]),
        epochs=_numbers("epochs", epochs, first[1]),
        layers=lambda i, j: {name: as_rows(name, array[i, j]) for name, array in named.items()},
        n=first[2],
    )


def _of_recording(recording: Recording, epochs: Any, seeds: Any) -> Snapshots:
    """All of a recording, or some of its epochs and seeds."""
    chosen = {
        name: _positions(name, wanted, there)
        for name, wanted, there in (("seeds", seeds, recording.seeds), ("epochs", epochs, recording.epochs))
    }
    return Snapshots(
        names=recording.layers,
        seeds=recording.seeds[chosen["seeds"]],
        epochs=recording.epochs[chosen["epochs"]],
        layers=lambda i, j: recording.activations(chosen["seeds"][i], chosen["epochs"][j]),
        n=len(recording.X),
    )


def _positions(name: str, wanted: Any, there: IntArray) -> IntArray:
    if wanted is None:
        return np.arange(len(there))
    values = np.atleast_1d(np.asarray(wanted))
    missing = values[~np.isin(values, there)]
    if len(missing):
        raise ValueError(f"{name}: {shown(missing[0])} was not recorded; recorded are {shown(there.tolist())}")
    return np.array([int(np.flatnonzero(there == value)[0]) for value in values])


def _stack(name: str, array: Any) -> npt.NDArray[Any]:
    """Activations as (seeds, epochs, n, units), of (n, units), (epochs, n, units) or all four; (n,) is one unit."""
    raw = np.asarray(to_numpy(array))
    if raw.ndim == 1:
        raw = raw[:, None]
    if not 2 <= raw.ndim <= 4 or 0 in raw.shape:
        raise ValueError(
            f"layer {name!r} must have shape (n, units), (epochs, n, units) or (seeds, epochs, n, units), got {raw.shape}"
        )
    return raw.reshape((1,) * (4 - raw.ndim) + raw.shape)


def _numbers(name: str, values: Any, count: int) -> IntArray:
    if values is None:
        return np.arange(count)
    numbers = np.atleast_1d(np.asarray(values))
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        raise ValueError(f"{name} must be {count} whole numbers, one for each of the arrays, got {shown(values)}")
    return numbers.astype(np.int64)
