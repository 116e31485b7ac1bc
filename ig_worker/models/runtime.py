"""The one place that imports TensorFlow: the settings that must precede the import, and the device.

Importing this module takes seconds. Import it only where a network is about to be used.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.environment import quiet_transformers  # before TensorFlow

_BFLOAT16_FROM = (8, 0)  # compute capability of the first GPUs that multiply bfloat16
_BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}  # of processors


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what native code writes to stderr from the terminal, unless what is done there fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        except BaseException:
            caught.seek(0)
            os.write(kept, caught.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


# TensorFlow's C++ side logs a dozen lines about plug-ins before any log level is in force.
with _quiet_stderr():
    import tensorflow as tf

    tf.config.list_physical_devices()
    quiet_transformers()

__all__ = [
    "configure", "device_kind", "faster_products", "gpus_multiply_bfloat16", "has_gpu", "lanes", "one_pass", "products",
    "require_gpu", "tf",
]  # fmt: skip


def configure(threads: int | None = None) -> None:
    """Prepare TensorFlow for reproducible work; call it before the first operation of a process.

    GPUs multiply float32 as float32, but within `products`.

    Args:
        threads: CPU threads within one operation. As many operations run at a time as there are `lanes`, so that an
            actor keeps to its share of the machine. None leaves TensorFlow's own choice.
    """
    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(lanes())
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def lanes() -> int:
    """How many groups of texts this process works on at a time.

    Two: one keeps the device busy while the other is on the host. A CPU of one thread is always busy with one.
    """
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
    return 2 if has_gpu() else min(2, threads)


@contextmanager
def products(precision: str) -> Iterator[None]:
    """What runs within multiplies float32 in `precision` on GPUs.

    ``tf32`` rounds the factors to 10 bits; any other does not. What ``bfloat16`` does is up to `Classifier.split`.
    TensorFlow knows one way for the whole process: so threads may be within at a time, but all in one precision.
    """
    rounds = precision == "tf32"
    with _switch:
        if not _within:
            _within.append(rounds_products())  # as it was before
            tf.config.experimental.enable_tensor_float_32_execution(rounds)
        elif rounds != rounds_products():
            raise RuntimeError(f"products in {precision} within others: TensorFlow knows one precision at a time")
        else:
            _within.append(rounds)
    try:
        yield
    finally:
        with _switch:
            last = _within.pop()
            if not _within:
                tf.config.experimental.enable_tensor_float_32_execution(last)


_switch = Lock()
_within: list[bool] = []  # what is within `products` just now; first, what holds outside


def rounds_products() -> bool:
    """Whether factors of float32 products are rounded just now; see `products`."""
    return bool(tf.config.experimental.tensor_float_32_execution_enabled())


def one_pass(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of tensors, elementwise, compiled by XLA into one pass over them."""
    compiled = tf.function(function, jit_compile=True, autograph=False, reduce_retracing=True)

    def call(*tensors: Any) -> Any:
        _wake_xla()
        # What comes back from a compiled function has no shape. Here it is put into the graph itself: Grappler, too,
        # has to see it, which otherwise tells on stderr of every product whose cost it cannot estimate.
        return tf.ensure_shape(compiled(*tensors), tf.nest.flatten(tensors[0])[0].shape)

    return call


@cache
def _wake_xla() -> None:
    """XLA tells of its start on stderr, whatever the log level."""
    with _quiet_stderr(), tf.init_scope():
        tf.function(lambda x: x + 1.0, jit_compile=True)(tf.zeros([1]))


def device_kind() -> str:
    """``cpu``, or the name of the GPU that this process computes on."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu"))


def gpus_multiply_bfloat16() -> bool:
    """Whether there are GPUs, and all have units for products in bfloat16, and so in TF32."""
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(gpus) and all(found.get("compute_capability", (0, 0)) >= _BFLOAT16_FROM for found in details)


def faster_products(flags: Collection[str] | None = None) -> tuple[tuple[str, ...], str]:
    """(precisions that this device may multiply faster than float32, why there are none where there are none).

    A CPU without instructions for bfloat16 converts each factor, which takes longer than it saves.

    Args:
        flags: of the processor, as Linux names them; None: this one's.
    """
    if has_gpu():
        if gpus_multiply_bfloat16():
            return ("tf32", "bfloat16"), ""
        return (), "this GPU multiplies neither TF32 nor bfloat16 faster"
    found = _BFLOAT16_FLAGS & set(_processor_flags() if flags is None else flags)
    if not found:
        return (), "this processor multiplies bfloat16 no faster: it has neither AMX nor AVX512-BF16"
    if "ONEDNN_MAX_CPU_ISA" in os.environ or os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return (), "oneDNN may not use all that this processor has"
    return ("bfloat16",), ""


def _processor_flags() -> list[str]:
    """What this processor can do, as Linux names it; nothing where that cannot be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, on which it then computes."""
    return bool(tf.config.list_physical_devices("GPU"))


def require_gpu() -> None:
    """Raise ModelError where a GPU was asked for and TensorFlow sees none."""
    if not has_gpu():
        raise ModelError(
            "--gpus-per-actor is above 0 but TensorFlow sees no GPU on this node",
            expected="a CUDA device and TensorFlow's CUDA libraries",
            remedy="install tensorflow[and-cuda] on the nodes, or set --gpus-per-actor 0",
        )
