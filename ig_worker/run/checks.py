"""Whether a model and a configuration go together, as far as that can be known without TensorFlow."""

from __future__ import annotations

from ig_worker.errors import UsageError
from ig_worker.models.files import ModelFiles
from ig_worker.models.layers import layer_depth
from ig_worker.run.config import ExplainConfig


def check_model(config: ExplainConfig, files: ModelFiles) -> None:
    """What can be known to be wrong with model and settings before TensorFlow is loaded."""
    shape = files.shape
    if shape.head is not None and (config.text_style, config.max_length) != ("plain", shape.head.length):
        raise UsageError(
            f"--text-style is {config.text_style} and --max-length {config.max_length}, "
            f"but this model's head reads {shape.head.length} positions, padding included",
            remedy=f"set --text-style plain --max-length {shape.head.length}",
        )
    layer_depth(config.layer, shape.blocks)
    if config.max_length > shape.positions:
        raise UsageError(
            f"--max-length is {config.max_length}", expected=f"at most {shape.positions}, the model's longest input"
        )
    if config.target.isdecimal() and int(config.target) >= shape.classes:
        raise UsageError(f"--target is {config.target}", expected=f"0 to {shape.classes - 1}, the model's classes")
