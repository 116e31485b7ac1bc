"""What a run explains of each row."""

from __future__ import annotations

from ig_worker.explain.target_setting import TargetSetting, read_target
from ig_worker.models.layers import LABELS, NetworkShape
from ig_worker.run.config import ExplainConfig


def target_setting(config: ExplainConfig, shape: NetworkShape) -> TargetSetting:
    """What the settings ask for, of a network.

    Raises:
        UsageError: a class that it does not have; see `read_target`.
    """
    return read_target(config.target, shape.labels, config.threshold if shape.outputs == LABELS else None)
