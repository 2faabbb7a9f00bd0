"""`Recording`: the weights of networks at chosen epochs, from which the activations of every layer follow."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualib._validation import Array, IntArray
from dualib.data.archives import UNREADABLE, read_npz, write_npz

_FORMAT = "dualib-recording-1"
_HISTORY = ("train_loss", "test_loss", "train_error", "test_error")
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0.0)}


@dataclass(frozen=True)
class Recording:
    """Networks of one shape, trained from several seeds, at several epochs.

    Attributes
    ----------
    X : ndarray, shape (n, d)
        All inputs, of training and test.
    py_x : ndarray, shape (n, n_y)
        p(y|x), one-hot rows for labels.
    activation : {"tanh", "relu"}
        Of the hidden layers; the last one is a softmax.
    epochs : ndarray of int, shape (n_epochs,)
        After how many epochs the networks were recorded.
    seeds : ndarray of int, shape (n_seeds,)
    weights, biases : tuple of ndarray
        One of each a layer, shapes (n_seeds, n_epochs, fan_in, units) and (n_seeds, n_epochs, units).
    train_loss, test_loss, train_error, test_error : ndarray, shape (n_seeds, n_epochs)
        Cross-entropies in nats, and shares of x whose likeliest label is missed.

    Examples
    --------
    One layer that tells -1 from 1, put together by hand; `train` makes them of data.

    >>> import numpy as np
    >>> from dualib import networks
    >>> recording = networks.Recording(
    ...     X=np.array([[-1.0], [1.0]]), py_x=np.eye(2), activation="tanh", epochs=np.array([0]), seeds=np.array([0]),
    ...     weights=(np.array([[[[-2.0, 2.0]]]]),), biases=(np.zeros((1, 1, 2)),),
    ...     **dict.fromkeys(("train_loss", "test_loss", "train_error", "test_error"), np.zeros((1, 1))),
    ... )
    >>> recording.activations(seed=0, epoch=0)["output"].round(3)
    array([[0.982, 0.018],
           [0.018, 0.982]])
    """

    X: Array
    py_x: Array
    activation: str
    epochs: IntArray
    seeds: IntArray
    weights: tuple[Any, ...]
    biases: tuple[Any, ...]
    train_loss: Array
    test_loss: Array
    train_error: Array
    test_error: Array

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, the last one being the softmax."""
        return (*(f"layer {i + 1} ({w.shape[-1]})" for i, w in enumerate(self.weights[:-1])), "output")

    def activations(self, seed: int, epoch: int) -> dict[str, Array]:
        """Of every layer by its name, (n, units), in double precision; `seed` and `epoch` are positions in `seeds` and `epochs`."""
        value, found = self.X, {}
        for i, name in enumerate(self.layers):
            z = value @ self.weights[i][seed, epoch].astype(np.float64) + self.biases[i][seed, epoch]
            if name == "output":
                value = np.exp(z - z.max(axis=1, keepdims=True))
                value /= value.sum(axis=1, keepdims=True)
            else:
                value = ACTIVATIONS[self.activation](z)
            found[name] = value
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to `path` as one .npz file without pickle."""
        arrays = {name: getattr(self, name) for name in ("X", "py_x", "epochs", "seeds", *_HISTORY)}
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays |= {f"weights_{i}": w, f"biases_{i}": b}
        header = np.array([_FORMAT, self.activation])
        write_npz(os.fspath(path), {"header": header, **arrays})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """What `save` wrote.

        Raises
        ------
        ValueError
            The file is no recording, or is damaged.
        """
        name = os.fspath(path)
        with open(name, "rb") as file:
            try:
                arrays = read_npz(file)
                if arrays["header"].tolist()[:1] != [_FORMAT]:
                    raise ValueError("it has another format")
                n_layers = sum(key.startswith("weights_") for key in arrays)
                return cls(
                    activation=str(arrays["header"][1]),
                    weights=tuple(arrays[f"weights_{i}"] for i in range(n_layers)),
                    biases=tuple(arrays[f"biases_{i}"] for i in range(n_layers)),
                    **{key: arrays[key] for key in ("X", "py_x", "epochs", "seeds", *_HISTORY)},
                )
            except UNREADABLE as error:
                raise ValueError(f"{name!r} is no recording that can be read: {error}") from error

    def __repr__(self) -> str:
        sizes = "-".join(str(size) for size in (self.X.shape[1], *(w.shape[-1] for w in self.weights)))
        return (
            f"Recording({sizes}, {self.activation}): {len(self.seeds)} seed(s), {len(self.epochs)} epochs up to {self.epochs[-1]}, "
            f"last test error {self.test_error[:, -1].mean():.4g}"
        )
