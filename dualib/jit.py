"""Kernels: plain functions on arrays that run as Python at first and are compiled, for one signature each, once that pays.

Compiling all of them takes minutes, and importing numba alone a quarter of a second: more than a small problem solved
by the same functions as Python. So a kernel called on small arrays is interpreted until `BUDGET` seconds have gone into that in this
process; from then on, and at once on larger arrays, it is read from numba's on-disk cache or compiled. Kernels are written so that
both give the same bits: sums of small arrays in a written order, exp and log from the C library or written out (`dualib.kernels`),
and products and sums `fused` only on arrays that no interpreted kernel takes.

Every hazard of the cache - a read-only installation, a full disk, a truncated index - shows up here, in one place, and costs one
`CacheWarning` and a slower start.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib
import inspect
import os
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from dualib.warnings import CacheWarning

BUDGET = 0.25  # seconds of interpretation in all, after which kernels are compiled: a fraction of what compiling them takes
FEW, MORE = (
    64,
    256,
)  # numbers in any array argument, up to which a kernel may be interpreted; where the work is as many numbers
_MODULES = (
    "kernels",
    "spread_kernels",
    "newton_kernels",
    "descent_kernels",
    "search_kernels",
    "start_kernels",
    "merge_kernels",
    "maxima_kernels",
    "settle_kernels",
    "walk_kernels",
    "bound_kernels",
    "sparse_kernels",
    "moves",
)
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_lock = threading.RLock()
_warned = False
_spent = 0.0


class KernelRecord(NamedTuple):
    """What has become of one kernel in this process.

    Attributes
    ----------
    name : str
        ``module.function``.
    signature : str
        The one numba signature that it is compiled for.
    state : {"waiting", "loaded", "compiled", "python"}
        Not yet needed; read from the on-disk cache; compiled in this process; left as Python under ``NUMBA_DISABLE_JIT=1``.
    seconds : float
        Spent on loading or compiling it.
    """

    name: str
    signature: str
    state: str
    seconds: float


class Kernel:
    """A function that kernels and Python may call; `signature` is None for a helper, which only kernels call once compiled.

    Of a helper machine code may be made by `machine`, in place of its own; or with products and sums `fused`, which rounds otherwise
    than Python: such a one is for arrays too large to be interpreted.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: str | None,
        few: int = FEW,
        *,
        machine: Callable[[], Any] | None = None,
        fused: bool = False,
        leaf: bool = False,
    ) -> None:
        functools.update_wrapper(self, function)
        self.machine, self.fused, self.leaf = machine, fused, leaf
        self.name = f"{function.__module__}.{function.__name__}"
        self.function, self.signature, self.few = function, signature, few
        self.state, self.seconds = "waiting", 0.0
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        """Call the machine code if there is any, else Python as long as that is worth it."""
        if self._compiled is not None:
            return self._compiled(*args)
        if not self.interprets(*args):
            return self.compile()(*args)
        global _spent
        start = time.perf_counter()
        try:
            with np.errstate(all="ignore"):  # as in compiled code
                return self.python(*args)
        finally:
            _spent += time.perf_counter() - start

    def interprets(self, *args: Any) -> bool:
        """Whether a call on these arguments would run as Python."""
        if self._compiled is not None:
            return self.state == "python"
        return python_only() or (_spent < BUDGET and all(a.size <= self.few for a in args if isinstance(a, np.ndarray)))

    @functools.cached_property
    def python(self) -> Callable[..., Any]:
        """The function as Python, what it calls likewise."""
        return _rebound(self.function, lambda other: other.python)

    def compile(self) -> Callable[..., Any]:
        """The function as machine code: read from the on-disk cache, or compiled. A helper's is made with its callers'."""
        with _lock:
            if self._compiled is None:
                start = time.perf_counter()
                self._compiled = self._interpreted() if python_only() else self._machine_code()
                self.seconds = time.perf_counter() - start
            return self._compiled

    def _interpreted(self) -> Callable[..., Any]:
        self.state = "python"
        return np.errstate(all="ignore")(self.python)

    def _machine_code(self) -> Callable[..., Any]:
        import numba

        if self.machine is not None:
            return self.machine()
        function, options = _rebound(self.function, Kernel.compile), {**_OPTIONS, "_nrt": not self.leaf}
        function.__qualname__ = f"{function.__qualname__}_{version()}"  # of which numba makes the names of its cache files
        self.state = "compiled"
        if self.signature is None:
            return numba.njit(**options, fastmath={"contract"} if self.fused else False)(function)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", numba.NumbaWarning)
                dispatcher = numba.njit(self.signature, cache=True, **options)(function)
            if sum(dispatcher.stats.cache_hits.values()):
                self.state = "loaded"
            return dispatcher
        except numba.core.errors.NumbaError:
            raise  # the kernel itself is at fault
        except Exception as error:  # a broken cache raises OSError, EOFError, pickle's errors, RuntimeError, ...
            _warn_once(error)
        return numba.njit(self.signature, **options)(function)


@functools.cache
def version() -> str:
    """A digest of all files with kernels and helpers, and of whether they call SciPy's BLAS.

    Numba's cache knows the file of the function that it compiles, not those of the helpers compiled into it: without this, machine
    code of an older dualib would be run after an upgrade.
    """
    from dualib.blas_kernels import known_routines

    digest = hashlib.sha256(repr(known_routines()).encode())
    folder = os.path.dirname(__file__)
    for name in sorted(name for name in os.listdir(folder) if name.endswith("kernels.py")):
        with open(os.path.join(folder, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:12]


def kernel(signature: str, few: int = FEW, *, leaf: bool = False) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a kernel of a function, for one numba signature, e.g. ``"float64(float64[::1])"``.

    It is interpreted where no array passed to it has more than `few` numbers.
    """
    return lambda function: Kernel(function, signature, few, leaf=leaf)


def helper(function: Callable[..., Any]) -> Kernel:
    """Make a function that kernels may call, for whatever types they pass."""
    return Kernel(function, None)


def leaf(function: Callable[..., Any]) -> Kernel:
    """The same for a function that makes no arrays but views, and calls none that return any.

    On small arrays half of a kernel's time went into counting who refers to them, at every row looked at: a leaf counts nothing.
    """
    return Kernel(function, None, leaf=True)


def fused(function: Callable[..., Any]) -> Kernel:
    """The same, with products and sums fused into one operation: faster, and of other bits than Python's."""
    return Kernel(function, None, fused=True, leaf=True)


def machine(build: Callable[[], Any]) -> Callable[[Callable[..., Any]], Kernel]:
    """The same of a function whose machine code, of the same results, is made by `build`, which imports numba."""
    return lambda function: Kernel(function, None, machine=build, leaf=True)


def apart(kernel: Kernel) -> Kernel:
    """The kernel for another one that calls it: by a jump there, not by a copy of its machine code within the other."""
    return Kernel(kernel.function, None, machine=lambda: _jump_to(kernel))


def _jump_to(kernel: Kernel) -> Any:
    """What compiled code calls for that; its symbol must be known before such code is read from the cache, too."""
    from llvmlite import binding, ir
    from numba.core import cgutils

    (compiled,) = kernel.compile().overloads.values()  # type: ignore[attr-defined]
    symbol = f"{kernel.name}_{version()}"
    binding.add_symbol(symbol, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name))

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        result, *types_ = (context.get_value_type(t) for t in (signature.return_type, *signature.args))
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, types_), symbol)
        return builder.call(function, arguments)

    return intrinsic(inspect.signature(kernel.function).parameters, lambda *types: (compiled.signature, build))


def intrinsic(names: Iterable[str], typed: Callable[..., Any]) -> Any:
    """What compiled code calls for arguments of these names: `typed` takes their types, and gives a signature and what builds it."""
    from numba import extending

    def of(context: Any, *types: Any) -> Any:
        return typed(*types)

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("context", *names)]
    of.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return extending.intrinsic(of)


def kernels() -> list[KernelRecord]:
    """The kernels of dualib, each with its one signature, and what has become of it in this process.

    Returns
    -------
    list of KernelRecord
        With the fields name, signature, state ("waiting", "loaded", "compiled" or "python") and seconds.

    See Also
    --------
    compile_kernels : Make them ready now.
    """
    found = (member for name in _MODULES for member in vars(importlib.import_module(f"dualib.{name}")).items())
    own = {id(k): k for name, k in found if isinstance(k, Kernel) and k.signature is not None}
    return [KernelRecord(k.name, str(k.signature), k.state, k.seconds) for k in own.values()]


def compile_kernels() -> list[KernelRecord]:
    """Read all kernels from the on-disk cache, or compile them: some minutes the first time, a second later.

    Nothing needs this. It moves the cost to where it suits: before a measurement of time, into the build of a container.

    Returns
    -------
    list of KernelRecord
        As of `kernels`.

    Warns
    -----
    CacheWarning
        If the cache cannot be used.
    """
    for name in _MODULES:
        for member in vars(importlib.import_module(f"dualib.{name}")).values():
            if isinstance(member, Kernel) and member.signature is not None:
                member.compile()
    return kernels()


def _rebound(function: Callable[..., Any], replace: Callable[[Kernel], Any]) -> Callable[..., Any]:
    """The same function with the kernels among its globals replaced: numba knows its own functions only."""
    assert isinstance(function, types.FunctionType)
    names = {step.argval for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL"}
    used = {name: function.__globals__.get(name) for name in names}
    replaced = {name: replace(value) for name, value in used.items() if isinstance(value, Kernel)}
    bound = types.FunctionType(function.__code__, {**function.__globals__, **replaced}, function.__name__)
    return functools.update_wrapper(bound, function)


def python_only() -> bool:
    """Whether NUMBA_DISABLE_JIT asks that nothing be compiled; known without importing numba."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _warn_once(error: Exception) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"the cache of compiled kernels cannot be used ({type(error).__name__}: {error}); they are compiled anew in this"
        " process. Set NUMBA_CACHE_DIR to a writable folder, or delete dualib's __pycache__ folder, to mend this.",
        CacheWarning,
        stacklevel=3,
    )
