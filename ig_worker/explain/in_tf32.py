"""What computes in TF32 among others that do not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from ig_worker.explain.precision import TF32

T = TypeVar("T")


def in_precision(inner: T, precision: str) -> T:
    """An engine, programs, or whatever else has methods that use a network, made for `precision`, to be run in it.

    In bfloat16 that is up to the network. In TF32 it is up to each kernel: TensorFlow's ask when they start
    (`stream_executor/cuda/cuda_blas.cc`), not when programs are traced, so that the same programs serve both.
    """
    return cast(T, _InTf32(inner)) if precision == TF32 else inner


class _InTf32:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def shared(self, *arguments: Any) -> Any:
        """Programs of the same network: in TF32, too."""
        return _InTf32(self._inner.shared(*arguments))

    def beside(self) -> Any:
        """The same for another thread."""
        return _InTf32(self._inner.beside())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            with _products():
                return found(*arguments, **named)

        return call


def _products() -> AbstractContextManager[None]:
    from ig_worker.models.runtime import products  # TensorFlow: seconds

    return products(TF32)
