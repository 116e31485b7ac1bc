"""How many rows the pilot of a run has."""

from __future__ import annotations

from ig_worker.explain.methods import ADAPTIVE, AUTO
from ig_worker.explain.pilot_plan import pilot_rows
from ig_worker.run.config import ExplainConfig


def rows_of_pilot(config: ExplainConfig, total: int) -> int:
    """How many of `total` rows the pilot of a run has; 0: there is none."""
    if config.method != ADAPTIVE:
        return 0
    return pilot_rows(total) if config.pilot == AUTO else min(int(config.pilot), total)
