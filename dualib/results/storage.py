"""Results on disk: one .npz file, no pickle, versioned, written whole or not at all.

Layout, version 1. ``header``: JSON, as bytes: the format, version, labels, distortion and all that is no number array.
``scalars`` (n_solutions, n_fields): the float fields of the solutions, named in the header. Arrays with one row per
cluster (``encoder``, transposed, ``weights``, ``means``, ``decoder``, ``stability``) are concatenated over solutions:
solution i has the rows ``offsets[i]:offsets[i + 1]``; those of the curve come first, then those beside its events.
``pxy``, ``py_x``: dense, or three arrays each of the CSR form, and ``background`` of a smoothed one.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib._validation import SUM_TOLERANCE, as_float_array, shown
from dualib.data.archives import UNREADABLE, csr_of, read_npz, write_npz
from dualib.data.labelled import texts_of
from dualib.memory import check_fits
from dualib.results.curve import CURVE_COLUMNS, Curve
from dualib.results.event import Event
from dualib.results.solution import SOLUTION_FLOATS, Solution
from dualib.results.status import Status
from dualib.results.units import distortion_factor, is_information, unit_factor
from dualib.smoothed import Smoothed

if TYPE_CHECKING:
    import xarray

    from dualib.distortions.interface import Distortion
    from dualib.joint import JointDistribution

VERSION = 1
_FORMATS = {"dualib-curve": Curve, "dualib-solution": Solution}
_ROUNDING = 64 * 5e-324  # of a product next to the smallest float: a few of that, whatever its size
_LATER = {"alpha", "relevance_bound"}  # that files of dualib before 0.3 do not have
_OTHERS = (".csv", ".tsv", ".json", ".xlsx", ".parquet")  # endings by which a reader would take the file for another
_RAGGED = ("encoder", "weights", "means", "decoder", "stability")


def save(result: object, path: str | os.PathLike[str]) -> None:
    """Write a Curve or a Solution to `path`, exactly as named; a file there is replaced once the new one is complete.

    Parameters
    ----------
    result : Curve or Solution
    path : path-like
        A name ending in .npz is customary; nothing is appended.

    Raises
    ------
    ValueError
        A name that says it is a table of text or the like.
    TypeError
        `result` is neither, or its distortion cannot be saved (it defines no ``to_config``, or one that `load` could not build it
        from: distortions of one's own cannot be loaded).
    OSError
        The file cannot be written; its folder does not exist. A file already there is untouched.
    """
    if os.fsdecode(path).lower().endswith(_OTHERS):
        raise ValueError(f"path should end in .npz, which it becomes, got {shown(path)}: to_dataframe() is for other files")
    if isinstance(result, Curve):
        name, solutions = "dualib-curve", result.solutions
        onset = [] if result.onset is None else [result.onset]
        events = [_pack_event(event) for event in result.events]
        sides = [side for event in result.events for side in (event.below, event.above) if side is not None]
        solutions = (*solutions, *sides)
    elif isinstance(result, Solution):
        name, solutions, onset, events = "dualib-solution", (result,), [], []
    else:
        raise TypeError(f"result must be a Curve or a Solution, got {type(result).__name__}")
    header: dict[str, Any] = {"format": name, "version": VERSION, "events": events}
    header["n_points"] = len(result) if isinstance(result, Curve) else 1
    arrays: dict[str, Any] = {"onset": np.array(onset, dtype=np.float64)}
    _pack_distortion(solutions[0].distortion, header, arrays)
    _pack_joint(solutions[0].joint, header, arrays)
    _pack_solutions(solutions, header, arrays)
    text = json.dumps(header, default=lambda value: value.item())  # NumPy scalars in an event of the user's own
    arrays["header"] = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    write_npz(os.fsdecode(path), arrays)


def load(path: str | os.PathLike[str]) -> Any:
    """Read back what `save` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Curve or Solution
        Equal to the one saved, number for number.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file is not one that dualib wrote, is damaged, or was written by a later version.

    Examples
    --------
    >>> import dualib
    >>> import pathlib, tempfile
    >>> solution = dualib.solve(dualib.datasets.toy(), 8.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "solution.npz"
    ...     solution.save(path)
    ...     again = dualib.load(path)
    ...
    >>> bool((again.encoder == solution.encoder).all())
    True
    """
    name = os.fsdecode(path)
    with open(name, "rb") as file:
        try:
            arrays = read_npz(file)
            header = _read_header(arrays)
            return _rebuild(header, arrays)
        except UNREADABLE as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
            raise ValueError(f"path: {name!r} is not a readable dualib result: {reason}") from error


def _read_header(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if "header" not in arrays:
        raise ValueError(f"it is another .npz file, with entries {sorted(arrays)[:8]}")
    if arrays["header"].dtype != np.uint8:
        raise ValueError(f"its header has type {arrays['header'].dtype}")
    header = json.loads(arrays["header"].tobytes().decode("ascii"))
    if isinstance(header, dict) and header.get("format") == "dualib-checkpoint":
        raise ValueError("it is a checkpoint: give it to anneal(..., checkpoint=path)")
    if not isinstance(header, dict) or header.get("format") not in _FORMATS:
        raise ValueError("its header names no dualib format")
    if header.get("version") != VERSION:
        raise ValueError(f"it has format version {header.get('version')!r}, and this dualib reads version {VERSION}")
    return header


def _rebuild(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Curve | Solution:
    joint, distortion = _unpack_joint(header, arrays), _unpack_distortion(header, arrays)
    solutions = _unpack_solutions(header, arrays, joint, distortion)
    if header["format"] == "dualib-solution":
        if len(solutions) != 1:
            raise ValueError(f"a solution file holds one solution, this one {len(solutions)}")
        return solutions[0]
    onset = arrays["onset"]
    if onset.dtype != np.float64 or onset.shape not in ((0,), (1,)) or np.isnan(onset).any():
        raise ValueError(f"onset must be one number or none, got {onset!r}")
    n_points = int(header["n_points"])
    sides = iter(solutions[n_points:])
    events = [_unpack_event(event, sides) for event in header["events"]]
    if not 0 < n_points <= len(solutions) or next(sides, None) is not None:
        raise ValueError(f"n_points = {n_points} does not fit the {len(solutions)} solutions and the events")
    return Curve(solutions[:n_points], events, float(onset[0]) if len(onset) else None)


def _pack_event(event: Event) -> dict[str, Any]:
    """The event as JSON; of the solutions beside it, only whether they are there: they follow those of the curve."""
    names = (field.name for field in dataclasses.fields(event) if field.name not in ("below", "above"))
    plain = {name: getattr(event, name) for name in names}
    return {**plain, "sides": [event.below is not None, event.above is not None]}


def _unpack_event(packed: dict[str, Any], sides: Iterator[Solution]) -> Event:
    fields = {name: value for name, value in packed.items() if name != "sides"}
    fields["interval"] = tuple(fields["interval"])
    below, above = (next(sides) if there else None for there in packed["sides"])
    return Event(**fields, below=below, above=above)


def _pack_distortion(distortion: Distortion, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Arrays of the configuration become entries of their own; the rest goes into the header.

    What could not be built again, or not as the same distortion, is refused here, where nothing is lost yet.
    """
    from dualib.distortions.named import from_config

    try:
        config = distortion.to_config()
        header["distortion"] = {key: value for key, value in config.items() if not isinstance(value, np.ndarray)}
        json.dumps(header["distortion"])
        again = from_config(config)
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise TypeError(f"distortion {distortion!r} cannot be saved: {error}") from error
    if type(again) is not type(distortion) or again != distortion:
        raise TypeError(
            f"distortion {distortion!r} cannot be saved: its to_config() describes {again!r}, which `load` would give in its place"
        )
    arrays.update({f"distortion.{key}": value for key, value in config.items() if isinstance(value, np.ndarray)})


def _unpack_distortion(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Distortion:
    from dualib.distortions.named import from_config

    prefix = "distortion."
    given = {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
    return from_config({**header["distortion"], **given})


def _pack_solutions(solutions: Sequence[Solution], header: dict[str, Any], arrays: dict[str, Any]) -> None:
    header["scalars"] = list(SOLUTION_FLOATS)
    header["certificate"] = [s.certificate for s in solutions]
    header["status"] = [s.status.name for s in solutions]
    header["n_iter"] = [int(s.n_iter) for s in solutions]
    header["cap_cost"] = [s.cap_cost for s in solutions]
    header["restarts"] = [list(s.restarts) for s in solutions]
    arrays["scalars"] = np.array([[getattr(s, name) for name in SOLUTION_FLOATS] for s in solutions])
    arrays["offsets"] = np.cumsum([0] + [s.n_clusters for s in solutions], dtype=np.int64)
    for name in _RAGGED:
        rows = [getattr(s, name).T if name == "encoder" else getattr(s, name) for s in solutions]
        arrays[name] = np.concatenate(rows)


def _unpack_solutions(
    header: dict[str, Any], arrays: Mapping[str, np.ndarray], joint: JointDistribution, distortion: Distortion
) -> list[Solution]:
    offsets, scalars = arrays["offsets"], arrays["scalars"]
    n = len(offsets) - 1
    if offsets.dtype.kind != "i" or offsets.ndim != 1 or n < 1 or offsets[0] != 0 or np.any(np.diff(offsets) < 1):
        raise ValueError("offsets do not rise from 0")
    if (
        scalars.dtype != np.float64
        or scalars.shape != (n, len(header["scalars"]))
        or not set(SOLUTION_FLOATS) - _LATER <= set(header["scalars"]) <= set(SOLUTION_FLOATS)
    ):
        raise ValueError(f"scalars has shape {scalars.shape} and names {header['scalars']}")
    for name in _RAGGED:
        if arrays[name].dtype != np.float64 or len(arrays[name]) != offsets[-1]:
            raise ValueError(f"{name} must be float64 with {offsets[-1]} rows, got shape {arrays[name].shape}")
    later = {"cap_cost": header.get("cap_cost", [None] * n), "restarts": header.get("restarts", [()] * n)}
    columns = [header[name] for name in ("certificate", "status", "n_iter")]
    if any(len(column) != n for column in (*columns, *later.values())):
        raise ValueError(f"the header describes another number of solutions than {n}")
    solutions = []
    for i in range(n):
        rows = slice(offsets[i], offsets[i + 1])
        fields: dict[str, Any] = {name: arrays[name][rows] for name in _RAGGED}
        fields["encoder"] = fields["encoder"].T
        fields.update(zip(header["scalars"], scalars[i], strict=True))
        fields.update(certificate=header["certificate"][i], n_iter=int(header["n_iter"][i]))
        fields.update({name: column[i] for name, column in later.items()})
        solutions.append(Solution(joint=joint, distortion=distortion, status=Status[header["status"][i]], **fields))
    return solutions


def _pack_joint(joint: JointDistribution, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """All arrays, the derived ones too: normalising once more on loading would move last digits."""
    header["x_labels"], header["y_labels"] = list(joint.x_labels), list(joint.y_labels)
    header["mutual_information"] = joint.mutual_information
    header["shape"] = [joint.n_x, joint.n_y]
    arrays.update(px=joint.px, py=joint.py)
    for name in ("pxy", "py_x"):
        arrays.update({name + part: array for part, array in _parts(getattr(joint, name)).items()})


def _parts(matrix: Any) -> dict[str, np.ndarray]:
    """The arrays of a dense, a sparse or a smoothed matrix, by what follows its name in theirs."""
    if isinstance(matrix, Smoothed):
        return {**_parts(matrix.sparse), ".background": matrix.background}
    if hasattr(matrix, "indptr"):
        return {f".{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
    return {"": matrix}


def _unpack_joint(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> JointDistribution:
    """Through the constructor, which validates, then with the arrays exactly as saved."""
    from dualib.joint import JointDistribution

    n_x, n_y = len(arrays["px"]), len(arrays["py"])
    if list(header["shape"]) != [n_x, n_y]:
        raise ValueError(f"shape {header['shape']} does not fit px of {n_x} and py of {n_y}")
    sparse = "pxy" not in arrays
    check_fits(n_x, 1 if sparse else n_y, "the saved problem")
    saved = {name: _unpack_matrix(name, header, arrays) for name in ("pxy", "py_x")}
    saved.update({name: arrays[name] for name in ("px", "py")})
    joint = (JointDistribution.of_smoothed if isinstance(saved["pxy"], Smoothed) else JointDistribution)(saved["pxy"])
    labels = {name: texts_of(name, header[name]) for name in ("x_labels", "y_labels")}  # dualib before 0.3 took some twice
    if [len(texts) for texts in labels.values()] != [n_x, n_y]:
        raise ValueError(f"x_labels and y_labels must be {n_x} and {n_y}")
    for name, value in saved.items():
        _check_probabilities(name, value, getattr(joint, name))
    for name in ("px", "py"):
        if not np.allclose(saved[name], getattr(joint, name), rtol=1e-9, atol=1e-12):
            raise ValueError(f"{name} does not fit pxy")
    _check_conditionals(saved["pxy"], saved["px"], saved["py_x"])
    information = float(header["mutual_information"])
    if not abs(information - joint.mutual_information) <= 1e-9 * (1.0 + information):
        raise ValueError(f"mutual_information does not fit pxy: {information!r}")
    joint.__setstate__({**saved, **labels, "mutual_information": information})
    return joint


def _check_probabilities(name: str, given: Any, computed: Any) -> None:
    """Numbers from 0 to 1 in the shape, and where sparse in the cells, of the array that was computed from p(x, y)."""
    parts = _parts(given)
    for part, array in _parts(computed).items():
        values = parts[part]
        if array.dtype != np.float64:
            if not np.array_equal(values, array):
                raise ValueError(f"{name} does not fit pxy")
        elif values.dtype != np.float64 or values.shape != array.shape:
            raise ValueError(f"{name} must be float64 of shape {array.shape}, got {values.dtype} {values.shape}")
        elif not np.all((values >= 0.0) & (values <= 1.0 + SUM_TOLERANCE)):  # NaN fails, too
            raise ValueError(f"{name} must be probabilities")


def _check_conditionals(pxy: Any, px: np.ndarray, py_x: Any) -> None:
    """p(x, y) must be p(x) p(y|x), and the rows of p(y|x) distributions, up to rounding.

    The product is compared, not the quotient: a p(x, y) next to the smallest float has lost its digits, so p(y|x) cannot be
    computed from it. Where p(x) = 0 the product holds for any conditional, which is the user's own.
    """
    sums = np.asarray(py_x.sum(axis=1)).ravel()
    if ".data" in _parts(py_x):
        own, whole = _parts(pxy), _parts(py_x)
        of_cell, none = np.repeat(px, np.diff(whole[".indptr"])), np.zeros(len(px))
        product = np.append((of_cell * whole[".data"])[of_cell > 0.0], px * whole.get(".background", none))
        given = np.append(own[".data"], own.get(".background", none))
    else:
        given, product = pxy, px[:, None] * py_x
    fits = given.shape == product.shape and np.allclose(sums, 1.0, rtol=0.0, atol=SUM_TOLERANCE)
    if not fits or not np.allclose(product, given, rtol=1e-9, atol=_ROUNDING):
        raise ValueError("py_x does not fit pxy")


def _unpack_matrix(name: str, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if name in arrays:
        return arrays[name]
    matrix = csr_of(arrays, name, int(header["shape"][1]))
    if f"{name}.background" not in arrays:
        return matrix
    return Smoothed(matrix, as_float_array(f"{name}.background", arrays[f"{name}.background"], 1))


def curve_to_xarray(curve: Curve, unit: str) -> xarray.Dataset:
    """`Curve.to_xarray`: scalars by beta, and the arrays by (beta, t, x, y) with 0 where a beta has fewer clusters."""
    try:
        import xarray as xr
    except ImportError as error:
        raise ImportError('to_xarray needs xarray: pip install "dualib[xarray]"') from error
    factor, of_distortion = unit_factor(unit), distortion_factor(curve.distortion, unit)
    data: dict[str, Any] = {"n_clusters": ("beta", curve.n_clusters)}
    for name in CURVE_COLUMNS[1:]:
        scale = of_distortion if name == "expected_distortion" else factor
        own = {} if name == "expected_distortion" and not is_information(curve.distortion) else {"unit": unit}
        data[name] = ("beta", getattr(curve, name) * scale, own)
    of_y = curve[0].decoder.shape[1] == curve.joint.n_y and not curve.distortion.fixed_atoms
    last = "y" if of_y else "column"
    dims = {"weights": ("beta", "t"), "encoder": ("beta", "x", "t"), "decoder": ("beta", "t", last)}
    for name, axes in dims.items():
        data[name] = (axes, _padded([getattr(s, name) for s in curve], axes.index("t") - 1))
    coords: dict[str, Any] = {"beta": curve.beta, "x": list(curve.joint.x_labels)}
    if of_y:
        coords["y"] = list(curve.joint.y_labels)
    return xr.Dataset(data, coords=coords, attrs={"distortion": curve.distortion.name})


def _padded(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Stack arrays that differ in length along `axis` only, zeros at the end."""
    shape = list(arrays[0].shape)
    shape[axis] = max(array.shape[axis] for array in arrays)
    stacked = np.zeros((len(arrays), *shape))
    for target, array in zip(stacked, arrays, strict=True):
        target[tuple(slice(length) for length in array.shape)] = array
    return stacked
