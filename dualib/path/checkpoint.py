"""Traces that survive an interruption: every solved chunk of betas is recorded in a file, and replayed from it.

What a chunk holds depends on the arguments of the call alone, and its random numbers on its number. So the file holds the chunks
in their order, bit for bit; a second run takes the same course, finds its chunks in the file instead of computing them, and goes on
where the file ends. What is computed from the points (which to add, where the events are) is computed again.

The file is an .npz without pickle, written whole or not at all after each chunk: ``header``, JSON with what it belongs to and one
entry per chunk, and ``data``, the bytes of all arrays one after the other, as described in the header.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

import dualib
from dualib.data.archives import UNREADABLE, read_npz, remove_stale, write_npz
from dualib.engine.batch import Batch
from dualib.engine.choice import solves_sparse
from dualib.engine.judge import Kind
from dualib.engine.problem import Problem
from dualib.warnings import DualibWarning

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

FORMAT, VERSION = "dualib-checkpoint", 2
_TYPES = ("<f8", "|b1", "<i8", ">f8", ">i8")

Solved = tuple[Batch, float, str, int]  # a batch of one, its gap and the kind of that, sweeps and products


class Checkpoint:
    """The file of one trace: chunks to replay, then chunks to append.

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
        self._packed: list[tuple[dict[str, Any], bytes]] = []
        self._next = 0
        remove_stale(self.name)
        if os.path.lexists(self.name):
            self._read()
        else:
            self._write()

    def replay(self, problem: Problem, betas: list[float]) -> list[Solved] | None:
        """The recorded solutions at these betas; None where the record ends.

        A record that took another course from here on, which another machine or another NumPy can cause by one bit, is dropped.
        """
        if self._next >= len(self._packed):
            return None
        described, data = self._packed[self._next]
        if described["betas"] == betas:
            self._next += 1
            return _unpack(problem, described, data)
        warnings.warn(
            f"checkpoint {self.name!r}: from part {self._next + 1} of {len(self._packed)} on it was made with other software or on"
            " another machine, whose rounding led elsewhere; these points are computed again",
            DualibWarning,
            stacklevel=2,
        )
        del self._packed[self._next :]
        return None

    def append(self, problem: Problem, betas: list[float], solved: list[Any]) -> None:
        """Record one more chunk, on disk when this returns."""
        self._packed.append(_pack(problem, betas, solved))
        try:
            self._write()
        except KeyboardInterrupt:  # the chunk is computed: it shall not be lost
            self._write()
            raise
        self._next += 1

    def _write(self) -> None:
        entries = [described for described, _ in self._packed]
        data = b"".join(data for _, data in self._packed)
        header = {"format": FORMAT, "version": VERSION, "identity": self._identity, "entries": entries}
        header["sha256"] = checksum(entries, data)
        arrays = {"header": _as_array(json.dumps(header).encode("ascii")), "data": _as_array(data)}
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
                f"checkpoint: {self.name!r} has format version {found!r}, and this dualib reads version {VERSION}: finish that run"
                " with the dualib that began it, or give another path"
            )
        self._check_identity(header.get("identity"))
        try:
            data, end = arrays["data"].tobytes(), 0
            if header["sha256"] != checksum(header["entries"], data):
                raise ValueError("its checksum does not fit")
            for described in header["entries"]:
                start, end = end, end + sum(int(size) for size in described["sizes"])
                self._packed.append((described, data[start:end]))
                _arrays(described, data[start:end])
            if end != len(data):
                raise ValueError(f"it holds {len(data)} bytes of data, and describes {end}")
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
    tables = (joint.pxy, joint.py_x)
    if solves_sparse(joint, distortion):
        own = [table.sparse for table in tables] if joint.is_smoothed else tables
        arrays = [getattr(table, name) for table in own for name in ("data", "indices", "indptr")]
        arrays += [table.background for table in tables] if joint.is_smoothed else []
    else:
        arrays = [table.toarray() if joint.is_sparse else table for table in tables]
    problem = {"n_x": joint.n_x, "n_y": joint.n_y, "sha256": _digest(*arrays, joint.px)}
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


def _dumps(value: Any) -> str:
    """JSON; the arrays in the state of some random number generators as tagged lists."""
    return json.dumps(value, default=lambda array: {"array": np.asarray(array).tolist(), "dtype": np.asarray(array).dtype.str})


# -- chunks as bytes ----------------------------------------------------------------------------------------------------


def _pack(problem: Problem, betas: list[float], solved: list[Solved]) -> tuple[dict[str, Any], bytes]:
    """A chunk as JSON and bytes; faces as masks, for their numbers are those of one run."""
    batches = [batch for batch, _, _, _ in solved]
    face = np.concatenate([batch.face for batch in batches])
    masks = np.zeros((len(face), 0), dtype=bool) if problem.faces is None else problem.faces.masks[face]
    arrays = [
        np.array([len(batch.weights) for batch in batches]),
        np.concatenate([batch.weights for batch in batches]),
        np.concatenate([batch.means for batch in batches]),
        masks,
        np.array([gap for _, gap, _, _ in solved]),
        np.array([taken for _, _, _, taken in solved]),
    ]
    parts = [array.tobytes() for array in arrays]
    shapes = [[array.dtype.str, list(array.shape)] for array in arrays]
    kinds = [kind for _, _, kind, _ in solved]
    return {"betas": betas, "kinds": kinds, "shapes": shapes, "sizes": [len(part) for part in parts]}, b"".join(parts)


def _unpack(problem: Problem, described: dict[str, Any], data: bytes) -> list[Solved]:
    counts, weights, means, masks, gap, taken = _arrays(described, data)
    face = np.zeros(len(weights), dtype=np.int64) if problem.faces is None else problem.faces.numbers(masks)
    ends, found = np.append(0, np.cumsum(counts)), []
    for i, (beta, kind) in enumerate(zip(described["betas"], described["kinds"], strict=True)):
        own = slice(ends[i], ends[i + 1])
        owner = np.zeros(counts[i], dtype=np.int64)
        batch = Batch(np.array([beta]), weights[own].copy(), means[own].copy(), owner, face[own].copy())
        found.append((batch, float(gap[i]), kind, int(taken[i])))
    return found


def _arrays(described: dict[str, Any], data: bytes) -> list[np.ndarray]:
    arrays, start = [], 0
    for (kind, dimensions), size in zip(described["shapes"], described["sizes"], strict=True):
        if kind not in _TYPES:
            raise ValueError(f"an array has type {kind!r}")
        arrays.append(np.frombuffer(bytearray(data[start : start + size]), dtype=kind).reshape(dimensions))
        start += size
    known = set(described["kinds"]) <= set(get_args(Kind))
    if not all(isinstance(beta, float) for beta in described["betas"]) or len(arrays) != 6 or not known:
        raise ValueError("an entry is not what it should be")
    return arrays
