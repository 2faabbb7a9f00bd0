"""Traces that survive an interruption: every solved point of a path is recorded in a file, and replayed from it.

A path over beta is a sequence of certified points, each computed from those before it and from the state of the random numbers.
So the file holds the points in the order in which they were solved, bit for bit, and the state of the random numbers after each;
a second run takes the same course, finds its points in the file instead of computing them, and goes on where the file ends. What
is computed from the points (which to add, where the events are) is computed again.

The file is an .npz without pickle, written whole or not at all after each point: ``header``, JSON with what it belongs to and one
entry per point, and ``data``, the bytes of all arrays one after the other, as described in the header.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import dualib
from dualib.archives import UNREADABLE, read_npz, remove_stale, write_npz
from dualib.engine.batch import Batch
from dualib.engine.optimum import Optimum
from dualib.engine.problem import Problem as EngineProblem
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep
from dualib.optimise import Outcome
from dualib.path import Path
from dualib.problem import Atoms
from dualib.problem import Sweep as OldSweep
from dualib.search import Maxima
from dualib.warnings import DualibWarning

if TYPE_CHECKING:
    from dualib.branch import Loss
    from dualib.joint import JointDistribution

FORMAT, VERSION = "dualib-checkpoint", 1


@dataclass
class _Entry:
    """A recorded outcome: what was asked for, the answer, its piece of the path, and the random numbers after it."""

    key: list[Any]
    outcome: Outcome
    piece: int | None
    random: dict[str, Any]


class Checkpoint:
    """The file of one trace: entries to replay, then entries to append.

    Parameters
    ----------
    path : path-like
        Made where it does not exist; temporary files that a killed run left beside it are removed.
    identity : dict
        What the file must belong to, of JSON values; from `identity_of`.

    Raises
    ------
    ValueError
        The file is no checkpoint, is damaged, or belongs to another problem, distortion, version or other arguments.
    OSError
        It cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], identity: dict[str, Any]) -> None:
        self.name = os.fspath(path)
        if not isinstance(self.name, str):
            raise TypeError(f"checkpoint must be a str or a path, got {path!r}")
        self._identity = identity
        self._known: list[_Entry] = []
        self._next = 0
        self._packed: list[tuple[dict[str, Any], bytes]] = []
        remove_stale(self.name)
        if os.path.lexists(self.name):
            self._read()
        else:
            self._write()

    def replay(self, key: list[Any]) -> _Entry | None:
        """The recorded answer to this request; None where the record ends.

        A record that took another course from here on, which another machine or another NumPy can cause by one bit, is dropped.
        """
        if self._next >= len(self._known):
            return None
        entry = self._known[self._next]
        if entry.key == key:
            self._next += 1
            return entry
        warnings.warn(
            f"checkpoint {self.name!r}: from point {self._next + 1} of {len(self._known)} on it was made with other software or on"
            " another machine, whose rounding led elsewhere; these points are computed again",
            DualibWarning,
            stacklevel=2,
        )
        del self._known[self._next :], self._packed[self._next :]
        return None

    def append(self, entry: _Entry) -> None:
        """Record one more answer, on disk when this returns."""
        self._packed.append(self._pack(entry))
        try:
            self._write()
        except KeyboardInterrupt:  # the point is computed: it shall not be lost
            self._write()
            raise
        self._known.append(entry)
        self._next += 1

    def _pack(self, entry: Any) -> tuple[dict[str, Any], bytes]:
        return _pack(entry)

    def _unpack(self, described: dict[str, Any], data: bytes) -> Any:
        return _unpack(described, data)

    def _write(self) -> None:
        entries = [described for described, _ in self._packed]
        data = b"".join(data for _, data in self._packed)
        header = {"format": FORMAT, "version": VERSION, "identity": self._identity, "entries": entries}
        header["sha256"] = checksum(entries, data)
        arrays = {
            "header": _as_array(json.dumps(header).encode("ascii")),
            "data": _as_array(data),
        }
        write_npz(self.name, arrays, compress=False)

    def _read(self) -> None:
        with open(self.name, "rb") as file:
            try:
                arrays = read_npz(file)
                header = json.loads(arrays["header"].tobytes().decode("ascii"))
                if header["format"] != FORMAT:
                    raise ValueError(f"its format is {header['format']!r}")
            except UNREADABLE as error:
                raise ValueError(f"checkpoint: {self.name!r} is not a readable checkpoint of dualib: {error}") from error
        if header.get("version") != VERSION:
            found = header.get("version")
            raise ValueError(
                f"checkpoint: {self.name!r} has format version {found!r}, and this dualib reads version {VERSION}"
            )
        self._check_identity(header.get("identity"))
        try:
            data, end = arrays["data"].tobytes(), 0
            if header["sha256"] != checksum(header["entries"], data):
                raise ValueError("its checksum does not fit")
            for described in header["entries"]:
                start, end = end, end + sum(int(size) for size in described["sizes"])
                self._packed.append((described, data[start:end]))
            if end != len(data):
                raise ValueError(f"it holds {len(data)} bytes of data, and describes {end}")
            self._known = [self._unpack(*packed) for packed in self._packed]
        except UNREADABLE as error:
            raise ValueError(f"checkpoint: {self.name!r} is damaged: {error}") from error

    def _check_identity(self, found: Any) -> None:
        if not isinstance(found, dict):
            raise ValueError(f"checkpoint: {self.name!r} is damaged: it does not say what it belongs to")
        for what, wanted in self._identity.items():
            if found.get(what) != wanted:
                raise ValueError(
                    f"checkpoint: {self.name!r} was written for another {what}: {found.get(what)!r}, not {wanted!r}; give another"
                    " path, or delete the file to start anew"
                )


class RecordedPath(Path):
    """A path whose points are recorded in a checkpoint, or replayed from it."""

    def __init__(self, like: Path, checkpoint: Checkpoint) -> None:
        super().__init__(like.problem, like.tol, like.max_iter, like.rng, prove=like.prove)
        self._checkpoint = checkpoint
        self._inside = False

    def _walked(self, betas: Sequence[float], start: float | None) -> int:
        """Solve the first beta, or replay it."""
        self._point(["jump", betas[0], start], lambda: self._outcome_of_walk(betas[0], start))
        return 1

    def _outcome_of_walk(self, beta: float, start: float | None) -> Outcome:
        Path._walked(self, [beta], start)
        return self.outcomes[beta]

    def solve_anew(self, beta: float, start: float | None = None) -> Outcome:
        """Solve one beta, or replay it."""
        if self._inside:  # of a jump
            return Path.solve_anew(self, beta, start)
        return self._point(["solve", beta, start], lambda: Path.solve_anew(self, beta, start))

    def solve_beyond(self, beta: float, loss: Loss) -> Outcome:
        """Solve one beta past the loss of a branch, or replay it."""
        return self._point(["beyond", beta, loss.beta], lambda: Path.solve_beyond(self, beta, loss))

    def _still_single(self, beta: float, known: Outcome) -> Outcome:
        """The one cluster at a smaller beta, or replay it."""
        return self._answer(["single", beta], functools.partial(super()._still_single, beta, known)).outcome

    def _certified(
        self, state: OldSweep, hints: Atoms, n_iter: int, effort: float = 1.0, known: Maxima | None = None
    ) -> Outcome:
        """A state with its gap: a record of its own where it is no part of a point."""
        certify = functools.partial(super()._certified, state, hints, n_iter, effort, known)
        return certify() if self._inside else self._answer(["certify", state.beta, len(state.atoms)], certify).outcome

    def _point(self, key: list[Any], compute: Callable[[], Outcome]) -> Outcome:
        beta = key[1]
        entry = self._answer(key, compute, piece_of=beta)
        if self.outcomes.get(beta) is not entry.outcome:  # replayed
            self.add(beta, entry.outcome, entry.piece)
            self._numbers = itertools.count(1 + max(self._pieces.values()))  # a new piece is none of those there
        return entry.outcome

    def _answer(self, key: list[Any], compute: Callable[[], Outcome], piece_of: float | None = None) -> _Entry:
        entry = self._checkpoint.replay(key)
        if entry is not None:
            self.rng.bit_generator.state = entry.random
            return entry
        self._inside = True
        try:
            outcome = compute()
        finally:
            self._inside = False
        piece = None if piece_of is None else self._pieces[piece_of]
        entry = _Entry(key, outcome, piece, self.rng.bit_generator.state)  # type: ignore[arg-type]
        self._checkpoint.append(entry)
        return entry


def recorded(path: Path, file: str | os.PathLike[str], arguments: dict[str, Any]) -> Path:
    """The same empty path, recorded in a file or replayed from it; `arguments` are all that its course depends on.

    Raises
    ------
    ValueError, TypeError, OSError
        As `Checkpoint` and `identity_of`.
    """
    identity = identity_of(path.problem.joint, path.problem.distortion, path.rng, arguments)
    return RecordedPath(path, Checkpoint(file, identity))


@dataclass
class _BatchEntry:
    """A recorded batch: its betas, the optima, and the random numbers after them."""

    key: list[Any]
    optimum: Optimum
    random: dict[str, Any]


class BatchCheckpoint(Checkpoint):
    """The file of a path without events: one entry for each batch of betas."""

    def __init__(self, path: str | os.PathLike[str], identity: dict[str, Any], problem: EngineProblem) -> None:
        self._problem = problem
        super().__init__(path, identity)

    def answer(self, betas: Sequence[float], compute: Callable[[], Optimum], rng: np.random.Generator) -> Optimum:
        """The recorded optima at these betas, or those now computed, and the random numbers after them."""
        key = ["batch", *betas]
        entry: Any = self.replay(key)
        if entry is not None:
            rng.bit_generator.state = entry.random
            return entry.optimum
        found = compute()
        self.append(_BatchEntry(key, found, rng.bit_generator.state))  # type: ignore[arg-type]
        return found

    def _pack(self, entry: Any) -> tuple[dict[str, Any], bytes]:
        found: Optimum = entry.optimum
        batch, faces = found.batch, self._problem.faces
        masks = None if faces is None else faces.masks[batch.face]
        arrays = [batch.beta, batch.weights, batch.means, masks, found.gap]
        shapes, parts = _as_bytes(arrays)
        described = {
            "key": entry.key,
            "random": json.loads(_dumps(entry.random)),
            "owner": batch.owner.tolist(),
            "taken": found.taken.tolist(),
            "kind": found.kind.tolist(),
            "shapes": shapes,
            "sizes": [len(part) for part in parts],
        }
        return described, b"".join(parts)

    def _unpack(self, described: dict[str, Any], data: bytes) -> Any:
        beta, weights, means, masks, gap = _unpacked(described, data)
        owner, taken = (np.array(described[name], dtype=np.int64) for name in ("owner", "taken"))
        faces = self._problem.faces
        face = np.zeros_like(owner) if faces is None else faces.numbers(masks)
        batch = Batch(beta, weights, means, owner, face)
        best = Points(batch.means[batch.start], face[batch.start], np.arange(len(beta)))
        found = Optimum(batch, Sweep(self._problem, batch), gap, np.array(described["kind"]), best, taken)
        return _BatchEntry(list(described["key"]), found, _revived(described["random"]))


def recorded_batches(
    problem: EngineProblem, file: str | os.PathLike[str], rng: np.random.Generator, arguments: dict[str, Any]
) -> BatchCheckpoint:
    """The record of a path without events; `arguments` are all that its course depends on.

    Raises
    ------
    ValueError, TypeError, OSError
        As `Checkpoint` and `identity_of`.
    """
    return BatchCheckpoint(file, identity_of(problem.joint, problem.distortion, rng, arguments), problem)


def identity_of(
    joint: JointDistribution, distortion: Any, rng: np.random.Generator, arguments: dict[str, Any]
) -> dict[str, Any]:
    """What a checkpoint belongs to: version, problem, distortion, random numbers and arguments, as JSON values.

    Raises
    ------
    TypeError
        The distortion defines no ``to_config``, so that another one could not be told from it.
    """
    try:
        config = distortion.to_config()
    except (TypeError, AttributeError) as error:
        raise TypeError(f"checkpoint: distortion {distortion!r} cannot be told from others: {error}") from error
    named = {key: _digest(value) if isinstance(value, np.ndarray) else value for key, value in config.items()}
    named.pop("l2", None)  # of the fit of a family: no number of the path depends on it
    pxy = joint.pxy.toarray() if joint.is_sparse else joint.pxy
    py_x = joint.py_x.toarray() if joint.is_sparse else joint.py_x
    problem = {"n_x": joint.n_x, "n_y": joint.n_y, "sha256": _digest(pxy, py_x, joint.px)}
    identity = {
        "version of dualib": dualib.__version__,
        "problem": problem,
        "distortion": named,
        "random_state": hashlib.sha256(_dumps(rng.bit_generator.state).encode()).hexdigest(),
        **arguments,
    }
    return dict(json.loads(_dumps(identity)))


def checksum(entries: Any, data: bytes) -> str:
    """Of all that is recorded, beyond the sums of the archive, which anything that repacks it makes anew."""
    return hashlib.sha256(json.dumps(entries).encode("ascii") + data).hexdigest()


def _as_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8) if data else np.zeros(0, dtype=np.uint8)


def _digest(*arrays: np.ndarray) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


# -- outcomes as bytes --------------------------------------------------------------------------------------------------


def _arrays_of(outcome: Outcome) -> list[np.ndarray | None]:
    state, points = outcome.state, outcome.maxima.points
    first = [state.atoms.weights, state.atoms.means, state.atoms.face, state.posterior, state.log_z, state.c]
    return [*first, state.new.weights, state.new.means, points.weights, points.means, points.face, outcome.maxima.log_c]


def _pack(entry: _Entry) -> tuple[dict[str, Any], bytes]:
    """The entry as JSON and bytes; the order of an array in memory is kept, for it decides how BLAS rounds."""
    outcome, state = entry.outcome, entry.outcome.state
    shapes, parts = _as_bytes(_arrays_of(outcome))
    described = {
        "key": entry.key,
        "piece": entry.piece,
        "random": json.loads(_dumps(entry.random)),
        "scalars": [state.beta, state.objective, state.residual, outcome.gap],
        "certificate": outcome.certificate,
        "n_iter": int(outcome.n_iter),
        "grown": outcome.grown,
        "shapes": shapes,
        "sizes": [len(part) for part in parts],
    }
    return described, b"".join(parts)


def _as_bytes(arrays: Sequence[np.ndarray | None]) -> tuple[list[Any], list[bytes]]:
    shapes: list[Any] = []
    parts: list[bytes] = []
    for array in arrays:
        if array is None:
            shapes.append(None)
            continue
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        shapes.append([array.dtype.str, list(array.shape), order])
        parts.append(array.tobytes(order))  # type: ignore[arg-type]
    return shapes, parts


def _unpack(described: dict[str, Any], data: bytes) -> _Entry:
    arrays = _unpacked(described, data)
    weights, means, face, posterior, log_z, c, new_weights, new_means, *points, values = arrays
    beta, objective, residual, gap = (float(value) for value in described["scalars"])
    new = Atoms(new_weights, new_means, face)
    state = OldSweep(Atoms(weights, means, face), beta, objective, posterior, log_z, c, new, residual)
    maxima = Maxima(Atoms(*points), values)
    outcome = Outcome(state, gap, described["certificate"], maxima, int(described["n_iter"]), bool(described["grown"]))
    return _Entry(list(described["key"]), outcome, described["piece"], _revived(described["random"]))


def _unpacked(described: dict[str, Any], data: bytes) -> list[Any]:
    sizes: Iterator[int] = iter(described["sizes"])
    arrays: list[np.ndarray | None] = []
    start = 0
    for shape in described["shapes"]:
        if shape is None:
            arrays.append(None)
            continue
        kind, dimensions, order = shape
        if kind not in ("<f8", "|b1", ">f8"):
            raise ValueError(f"an array has type {kind!r}")
        size = next(sizes)
        part = np.frombuffer(bytearray(data[start : start + size]), dtype=kind)
        arrays.append(part.reshape(dimensions, order=order))
        start += size
    return arrays


def _dumps(value: Any) -> str:
    """JSON; the arrays in the state of some random number generators as tagged lists."""
    return json.dumps(value, default=lambda array: {"array": np.asarray(array).tolist(), "dtype": np.asarray(array).dtype.str})


def _revived(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() == {"array", "dtype"}:
        return np.array(value["array"], dtype=value["dtype"])
    return {key: _revived(item) for key, item in value.items()}
