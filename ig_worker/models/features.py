"""A frozen encoder's output for all training texts, on disk: never more than a batch of it in memory.

The file is a .npy of float32 [texts, length, hidden]. It is opened anew for each batch, because pages of an open
memory map count as the process's own for as long as it is open.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.models.build import Untrained
from ig_worker.models.checkpoint import OnStep, Scratch, write_faults
from ig_worker.models.examples import TokenRows
from ig_worker.models.runtime import tf
from ig_worker.models.training import Task

_TEXTS_AT_ONCE = 32
_NOTED_EVERY = 20  # batches

OnRows = Callable[[int], None]


def head_task(network: Untrained, rows: TokenRows, scratch: Scratch, on_step: OnStep) -> Task:
    """Training of the head of `network` on its frozen encoder's output for `rows`, which is computed first."""
    hidden = network.trained.input_shape[-1]
    extract(
        network.classifier.encoder, rows, hidden, scratch,
        lambda done: on_step("frozen encoder, texts", done, len(rows), ""),
    )  # fmt: skip
    return Task(
        model=network.trained,
        logits=network.trained,
        signature=(tf.TensorSpec([None, rows.longest, hidden], tf.float32),),
        lengths=[rows.longest] * len(rows),
        load=lambda members: (read_features(scratch.features, members),),
        labels=rows.labels,
    )


def extract(encoder: Any, rows: TokenRows, hidden: int, scratch: Scratch, on_rows: OnRows) -> None:
    """Write the features of `rows`, from the first text on whose features are not yet in `scratch`.

    Args:
        encoder: a TFBertModel or TFDistilBertModel.
        rows: texts that all have `rows.longest` tokens, padding included.
        hidden: the encoder's width.
        scratch: where the file goes, and a note of how far it is written.
        on_rows: told of every batch.
    """
    batch = tf.TensorSpec([None, rows.longest], tf.int32)

    @tf.function(input_signature=[batch] * len(rows.names))
    def states(*inputs: Any) -> Any:
        given = dict(zip(rows.names, inputs, strict=True))
        return tf.cast(encoder(**given, training=False).last_hidden_state, tf.float32)

    done = scratch.feature_rows
    if not done:
        _make_file(scratch.features, (len(rows), rows.longest, hidden))
    for number, start in enumerate(range(done, len(rows), _TEXTS_AT_ONCE), 1):
        end = min(start + _TEXTS_AT_ONCE, len(rows))
        noted = end == len(rows) or number % _NOTED_EVERY == 0
        _write(scratch.features, start, states(*rows.batch(range(start, end))).numpy(), flush=noted)
        if noted:
            scratch.note_feature_rows(end)
        on_rows(end)


def _make_file(path: Path, shape: tuple[int, int, int]) -> None:
    with write_faults(path):
        np.lib.format.open_memmap(path, "w+", np.float32, shape)
        with path.open("r+b") as stream:  # a full disk is told now; a write through a map would end the process
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def _write(path: Path, start: int, values: npt.NDArray[np.float32], flush: bool) -> None:
    mapped = np.lib.format.open_memmap(path, "r+")
    mapped[start : start + len(values)] = values
    if flush:  # all of the file that is not yet on disk
        mapped.flush()


def read_features(path: Path, members: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The features of some texts, float32 [members, length, hidden], in memory."""
    return np.array(np.lib.format.open_memmap(path, "r")[members])
