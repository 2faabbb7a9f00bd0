"""Archives of arrays (.npz, .npy), written whole or not at all, and read without trust in what they declare.

Nothing is unpickled, and nothing is allocated on the word of a file: a declared size must agree with the bytes that are there.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import secrets
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from dualib.memory import available_memory

# What bytes that are no such file, or a part of one, can raise from zip, zlib, json, numpy and scipy, and from building on them.
UNREADABLE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, SyntaxError, ArithmeticError, NotImplementedError),
    *(EOFError, MemoryError, RuntimeError, StopIteration, struct.error, zlib.error, zipfile.BadZipFile),
)
_LARGEST_RATIO = 1100  # of deflate: 1032 and a little for short members
_MOST_MEMBERS = 10_000
_LONGEST_HEADER = 10_000
_LAST_CHARACTER = 0x10FFFF
_HEADER = re.compile(
    r"\s*\{\s*'descr'\s*:\s*'(?P<type>[<>|=][a-zA-Z]\d{0,6})'\s*,\s*'fortran_order'\s*:\s*(?P<order>True|False)\s*,"
    r"\s*'shape'\s*:\s*\((?P<shape>[\d\s,]{0,200})\)\s*,?\s*\}\s*",
    re.ASCII,
)


def write_npz(path: str, arrays: Mapping[str, Any], *, compress: bool = True) -> None:
    """Into a temporary file beside the target, synced, then renamed over it: the target is the old file or the new.

    Raises
    ------
    OSError
        The file cannot be written; a file already there is untouched.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"the folder {folder!r} does not exist: make it, or give another path", path)
    if not path or os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "this is a folder: give the path of a file in it", path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:  # not tempfile: its mode 0600 would stay on the result
            _write_entries(file, arrays, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:  # the caller knows nothing of this name
            raise type(error)(error.errno, error.strerror, path) from None
        raise
    _sync_folder(folder)


def _write_entries(file: Any, arrays: Mapping[str, Any], compression: int) -> None:
    """As `numpy.savez`, which leaves its archive open where a write fails, to complain again when it is collected."""
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)


def _sync_folder(folder: str) -> None:
    """Make the new name itself durable, where the system lets a folder be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        with contextlib.suppress(OSError):  # a file system without it; the data are synced
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_stale(path: str) -> None:
    """Remove the temporary files that killed processes left beside `path`, told by their names."""
    folder, name = os.path.split(os.path.realpath(path))
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.tmp")
    if not os.path.isdir(folder):
        return
    for found in os.listdir(folder):
        if pattern.fullmatch(found):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.unlink(os.path.join(folder, found))


def read_npz(file: IO[bytes]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Raises
    ------
    ValueError and the others of UNREADABLE
        It is no such file, is damaged, holds objects, or declares more than it holds or than fits into memory.
    """
    try:
        return _read_archive(file, _size(file))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("it points outside itself") from error


def _read_archive(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(file):
        raise ValueError("it is not an .npz file (or is cut short)")
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_members(members, size)
        arrays = {}
        for member in members:
            if not member.filename.endswith(".npy"):
                raise ValueError(f"it holds {member.filename[:40]!r}, something that is not an array")
            with archive.open(member) as stream:
                arrays[member.filename[: -len(".npy")]] = _read_array(stream, member.file_size)
                if stream.read(1):  # also makes zipfile check the sum of the last bytes
                    raise ValueError(f"{member.filename[:40]!r} is longer than it declares")
    return arrays


def read_npy(file: IO[bytes]) -> np.ndarray:
    """The array of an .npy file; errors as in `read_npz`."""
    return _read_array(file, _size(file))


def check_compressed(indptr: np.ndarray, indices: np.ndarray) -> None:
    """Refuse index arrays that are no whole numbers or whose pointers fall: scipy lets some through, then reads beyond them."""
    for name, array in (("indptr", indptr), ("indices", indices)):
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise ValueError(f"{name} must be integers in one dimension, got {array.dtype} of shape {array.shape}")
    if not len(indptr) or indptr[0] != 0 or np.any(indptr[1:] < indptr[:-1]) or indptr[-1] != len(indices):
        raise ValueError(f"indptr must rise from 0 to {len(indices)}")


def csr_of(arrays: Mapping[str, Any], name: str, n_columns: int) -> Any:
    """The CSR matrix whose parts are ``name.data``, ``name.indices`` and ``name.indptr``; ValueError where these do not fit."""
    from scipy import sparse

    data, indices, indptr = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    check_compressed(indptr, indices)
    matrix = sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, n_columns))
    matrix.check_format(full_check=True)  # an index out of range would read foreign memory
    return matrix


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    declared = sum(member.file_size for member in members)
    limit = min(_LARGEST_RATIO * size, available_memory() // 2)
    if declared > limit:
        raise ValueError(f"it declares {declared} bytes of arrays, more than the {limit} that such a file can hold here")
    if len(members) > _MOST_MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError(f"it has {len(members)} members, too many or some of the same name")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename[:40]!r} is compressed by method {member.compress_type}")


def _read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """One array of the .npy format (https://numpy.org/neps/nep-0001-npy-format.html) from a stream of `size` bytes."""
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\x01\x00", b"\x02\x00"):
        raise ValueError(f"it does not start as an array does, but with {start!r}")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"the header of an array is {length} bytes long")
    shape, fortran, dtype = _described(stream.read(length).decode("latin-1"))
    declared = math.prod(shape) * dtype.itemsize
    if declared > size - 8 - width - length:
        raise ValueError(f"it declares an array of {declared} bytes, shape {shape}, in {size} bytes")
    buffer = np.empty(declared, dtype=np.uint8)
    view, filled = buffer.data, 0
    while filled < declared:
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"an array ends after {filled} of {declared} bytes")
        filled += count
    if dtype.kind == "U" and np.any(buffer.view(f"{dtype.byteorder}u4") > _LAST_CHARACTER):
        raise ValueError("a text holds what is no character")  # Python's error for this is no Exception of a type to expect
    return buffer.view(dtype).reshape(shape, order="F" if fortran else "C")


def _described(header: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type from the header of an array, which numpy evaluates as Python, and which is only matched here."""
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError(f"the header of an array is not of plain numbers or text: {header[:60]!r}")
    if match["type"] == "|O":
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    lengths = [length.strip() for length in match["shape"].split(",") if length.strip()]
    if not all(length.isdecimal() and len(length) < 20 for length in lengths):
        raise ValueError(f"{match['shape'][:60]!r} is not a shape")
    dtype = np.dtype(match["type"])
    if dtype.itemsize == 0:
        raise ValueError(f"it declares an array of type {dtype}")
    return tuple(map(int, lengths)), match["order"] == "True", dtype
