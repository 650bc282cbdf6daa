"""Matrix products on one thread, by threadpoolctl.

A lookup multiplies a few dozen rows in microseconds; OpenBLAS would share them out over every core, and where one of
those is busy the lookup waits for it. A reader's 99th percentile beside a writer was 63 % higher for that.
"""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def multiply_on_one_thread() -> None:
    """Let NumPy and FAISS multiply on their caller's thread, in the whole process; PyTorch's and ONNX's stay theirs."""
    threadpool_limits(limits=1, user_api="blas")
