"""What a pilot finds out about a network's paths, as plain numbers that a run is bound to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Calibration:
    """What the adaptive engine knows of one network, layer and baseline before the first text.

    Args:
        first: nodes that a text starts with.
        rows: of the pilot; 0: there was none.
        certified: the largest share of rows beyond the tolerance that is promised; None: nothing is.
    """

    first: int = 6
    rows: int = 0
    certified: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For `of_json`."""
        return asdict(self)

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Of what `to_json` gave."""
        return cls(**content)


CAUTIOUS = Calibration()  # without a pilot
