"""`train`: small dense networks on torch, recorded as they learn; needs ``pip install "dualib[torch]"``."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray, shown, validate_integer, validate_open_probability
from dualib.data.archives import UNREADABLE, read_npz, write_npz
from dualib.networks.arrays import as_conditionals, as_positive, as_rows
from dualib.networks.backend import import_torch, one_thread
from dualib.networks.recording import ACTIVATIONS, Recording
from dualib.progress import Progress, reporter

_RECORDED = 400  # at most so many epochs, where only their end is given
_SAVE_EVERY = 10.0  # seconds between two writings of a checkpoint
_CUT = 2.0  # initial weights are drawn anew beyond so many standard deviations
_STATE = "dualib-training-1"


def train(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    widths: Sequence[int] = (10, 7, 5, 4, 3),
    activation: str = "tanh",
    record: int | Sequence[int] | npt.NDArray[np.integer[Any]] = 8000,
    random_state: int | Sequence[int] = 0,
    *,
    learning_rate: float = 4e-4,
    batch_size: int = 512,
    train_share: float = 0.8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress = True,
) -> Recording:
    """Train dense networks with a softmax on all of X, and record their weights at chosen epochs.

    Weights start from a normal distribution of standard deviation ``1 / sqrt(fan_in)``, cut at two of these; Adam lowers the
    cross-entropy. The defaults are those of Shwartz-Ziv and Tishby (2017).

    Parameters
    ----------
    X : array_like, shape (n, d)
        Distinct inputs.
    y : array_like, shape (n,) or (n, n_y)
        Labels, or p(y|x): the loss is then the cross-entropy with it.
    widths : sequence of int
        Units of the hidden layers.
    activation : {"tanh", "relu"}
    record : int or sequence of int
        Epochs after which to record, the last of which ends the training; a number n stands for up to 400 from 1 to n in
        proportion, and the start.
    random_state : int or sequence of int
        One network for each seed; all are trained at once, which takes hardly longer than one. The same call gives the same
        bits on the same machine.
    learning_rate : float
    batch_size : int
        The last batch of an epoch is smaller where they do not fit.
    train_share : float
        Share of the inputs to train on, chosen at random for each seed; the others are the test.
    checkpoint : path, optional
        A file to go on from, written every ten seconds: a training that was interrupted ends with the same bits.
    progress : bool or callable
        A line on stderr, or calls ``progress(done, total)``, one for each recorded epoch.

    Returns
    -------
    Recording

    Raises
    ------
    ImportError
        torch is not installed.
    ValueError, TypeError
        Arguments of other shapes or values; a checkpoint that belongs to another training.

    Examples
    --------
    >>> import itertools
    >>> from dualib.networks import train
    >>> X = list(itertools.product([0, 1], repeat=4))
    >>> y = [int(sum(x) >= 2) for x in X]
    >>> recording = train(X, y, widths=(3, 2), record=[0, 10, 100], random_state=[0, 1], progress=False)
    >>> recording.epochs.tolist(), len(recording.seeds)
    ([0, 10, 100], 2)
    """
    torch = import_torch("train needs")
    rows = as_rows("X", X)
    py_x = as_conditionals(y, len(rows))
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {shown(activation)}")
    epochs = _epochs(record)
    seeds = np.array([validate_integer("random_state", seed, 0) for seed in np.atleast_1d(np.asarray(random_state)).tolist()])
    hidden = [validate_integer("widths", width, 1) for width in widths]
    run = _Run(
        torch,
        rows,
        py_x,
        sizes=[rows.shape[1], *hidden, py_x.shape[1]],
        activation=activation,
        seeds=seeds,
        learning_rate=as_positive("learning_rate", learning_rate),
        batch_size=validate_integer("batch_size", batch_size, 1),
        n_train=_train_size(len(rows), train_share),
    )
    with reporter(progress, "training") as report, one_thread():
        return _recorded(run, epochs, checkpoint, report)


class _Run:
    """All networks of one call, and what to do with them for an epoch."""

    def __init__(
        self,
        torch: Any,
        X: Array,
        py_x: Array,
        *,
        sizes: list[int],
        activation: str,
        seeds: IntArray,
        learning_rate: float,
        batch_size: int,
        n_train: int,
    ) -> None:
        self.torch, self.X, self.py_x, self.activation, self.seeds = torch, X, py_x, activation, seeds
        self.batch_size, self.done = batch_size, 0
        self.inputs, self.targets = (torch.tensor(values, dtype=torch.float32) for values in (X, py_x))
        self.order = np.stack([np.random.default_rng([seed, 0]).permutation(len(X)) for seed in seeds])
        self.chosen = self.order[:, :n_train]
        self.parameters = [torch.tensor(array, requires_grad=True) for array in _start(sizes, seeds)]
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate)
        settings = (sizes, activation, seeds.tolist(), learning_rate, batch_size, n_train)
        digest = hashlib.sha256(repr(settings).encode() + X.tobytes() + py_x.tobytes())
        self.identity = digest.hexdigest()

    def logits(self, inputs: Any) -> Any:
        """Of inputs (n_seeds, n, d) or (n, d): (n_seeds, n, n_y)."""
        phi = self.torch.tanh if self.activation == "tanh" else self.torch.relu
        value = inputs
        for i in range(0, len(self.parameters), 2):
            value = value @ self.parameters[i] + self.parameters[i + 1]
            value = phi(value) if i + 2 < len(self.parameters) else value
        return value

    def epoch(self) -> None:
        """Once through the training inputs of each network, in an order that its seed and the epoch determine."""
        self.done += 1
        orders = [np.random.default_rng([seed, self.done]).permutation(self.chosen.shape[1]) for seed in self.seeds]
        shuffled = self.torch.from_numpy(np.take_along_axis(self.chosen, np.stack(orders), axis=1))
        for begin in range(0, shuffled.shape[1], self.batch_size):
            batch = shuffled[:, begin : begin + self.batch_size]
            log_p = self.torch.log_softmax(self.logits(self.inputs[batch]), dim=2)
            # a sum over networks, of which each has its own parameters and its own Adam
            loss = -(self.targets[batch] * log_p).sum() / batch.shape[1]
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def snapshot(self) -> dict[str, Any]:
        """Weights, biases, losses and errors as they are, each with the seeds first."""
        with self.torch.no_grad():
            log_p = self.torch.log_softmax(self.logits(self.inputs), dim=2).numpy().astype(np.float64)
        losses = -np.sum(self.py_x * log_p, axis=2)
        errors = log_p.argmax(axis=2) != self.py_x.argmax(axis=1)
        found: dict[str, Any] = {f"parameter_{i}": p.detach().numpy().copy() for i, p in enumerate(self.parameters)}
        n_train = self.chosen.shape[1]
        for name, values in (("loss", losses), ("error", errors)):
            ordered = np.take_along_axis(values, self.order, axis=1)
            found[f"train_{name}"] = ordered[:, :n_train].mean(axis=1)
            found[f"test_{name}"] = ordered[:, n_train:].mean(axis=1)
        return found

    def state(self) -> dict[str, Any]:
        """Parameters and Adam's moments, to go on from."""
        state = {"done": np.array([self.done])}
        for i, parameter in enumerate(self.parameters):
            state[f"now_{i}"] = parameter.detach().numpy()
            for name, moment in self.optimizer.state.get(parameter, {}).items():
                state[f"{name}_{i}"] = np.atleast_1d(moment.numpy())
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave."""
        self.done = int(state["done"][0])
        with self.torch.no_grad():
            for i, parameter in enumerate(self.parameters):
                parameter.copy_(self.torch.from_numpy(state[f"now_{i}"]))
                if f"step_{i}" in state:
                    moments = {name: self.torch.from_numpy(state[f"{name}_{i}"]) for name in ("exp_avg", "exp_avg_sq")}
                    step = self.torch.tensor(float(state[f"step_{i}"][0]))
                    self.optimizer.state[parameter] = {"step": step, **moments}


def _recorded(run: _Run, epochs: IntArray, checkpoint: Any, report: Any) -> Recording:
    """Train up to the last of these epochs, from the start or from the checkpoint, and keep a snapshot of each."""
    snapshots: list[dict[str, Any]] = []
    if checkpoint is not None and os.path.lexists(checkpoint):
        snapshots = _resume(run, epochs, os.fspath(checkpoint))
    report.expect(len(epochs))
    for _ in snapshots:
        report.step()
    written = time.monotonic()
    for epoch in epochs[len(snapshots) :]:
        while run.done < epoch:
            run.epoch()
        snapshots.append(run.snapshot())
        last = epoch == epochs[-1]
        if checkpoint is not None and (last or time.monotonic() - written >= _SAVE_EVERY):
            _write(run, epochs, snapshots, os.fspath(checkpoint))
            written = time.monotonic()
        report.step()
    stacked = {name: np.stack([shot[name] for shot in snapshots], axis=1) for name in snapshots[0]}
    tensors = [stacked.pop(f"parameter_{i}") for i in range(len(run.parameters))]
    return Recording(
        X=run.X,
        py_x=run.py_x,
        activation=run.activation,
        epochs=epochs,
        seeds=run.seeds,
        weights=tuple(tensors[0::2]),
        biases=tuple(biases[:, :, 0] for biases in tensors[1::2]),
        **stacked,
    )


def _write(run: _Run, epochs: IntArray, snapshots: list[dict[str, Any]], path: str) -> None:
    header = np.array([_STATE, run.identity])
    kept = {f"kept_{name}": np.stack([shot[name] for shot in snapshots]) for name in snapshots[0]}
    write_npz(path, {"header": header, "epochs": epochs[: len(snapshots)], **kept, **run.state()}, compress=False)


def _resume(run: _Run, epochs: IntArray, path: str) -> list[dict[str, Any]]:
    """The snapshots in a checkpoint, with the run put where it was."""
    with open(path, "rb") as file:
        try:
            arrays = read_npz(file)
            header, recorded = arrays["header"].tolist(), arrays["epochs"]
        except UNREADABLE as error:
            raise ValueError(f"checkpoint {path!r} cannot be read: {error}") from error
    known = recorded[: len(epochs)]  # a longer training holds a shorter one
    if header != [_STATE, run.identity] or not np.array_equal(known, epochs[: len(known)]):
        raise ValueError(f"checkpoint {path!r} belongs to a training with other arguments: remove it, or give another path")
    run.restore(arrays)
    names = [name for name in arrays if name.startswith("kept_")]
    return [{name[len("kept_") :]: arrays[name][i] for name in names} for i in range(len(known))]


def _start(sizes: list[int], seeds: IntArray) -> list[Any]:
    """Initial weights and biases, layer by layer, in single precision, the seeds first."""
    from scipy.stats import truncnorm

    parameters: list[Any] = []
    streams = [np.random.default_rng([seed, 2**31]) for seed in seeds]
    for fan_in, units in itertools.pairwise(sizes):
        drawn = [truncnorm.rvs(-_CUT, _CUT, size=(fan_in, units), random_state=rng) for rng in streams]
        parameters.append((np.stack(drawn) / np.sqrt(fan_in)).astype(np.float32))
        parameters.append(np.zeros((len(seeds), 1, units), np.float32))
    return parameters


def _epochs(record: Any) -> IntArray:
    if np.ndim(record) == 0:
        last = validate_integer("record", record, 1)
        return np.unique(np.concatenate([[0], np.round(np.geomspace(1, last, min(last, _RECORDED)))])).astype(np.int64)
    values = np.asarray(record)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError(
            f"record must be the number of epochs, or the epochs to record, whole numbers >= 0, got {shown(record)}"
        )
    return np.unique(values).astype(np.int64)


def _train_size(n: int, share: float) -> int:
    size = round(n * validate_open_probability("train_share", share))
    if not 0 < size < n:
        raise ValueError(f"train_share must leave inputs to train on and to test on, got {shown(share)} of {n}")
    return size
