"""torch, where it is needed and only there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def import_torch(who: str) -> Any:
    """The module torch.

    Raises
    ------
    ImportError
        It is not installed; says how to install it without CUDA.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f'{who} torch: pip install "dualib[torch]", after "pip install torch --index-url '
            'https://download.pytorch.org/whl/cpu" where gigabytes of CUDA are not wanted'
        ) from error
    return torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Small matrices: threads of torch would wait for each other, and sum in another order."""
    torch = import_torch("this needs")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
