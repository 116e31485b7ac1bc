"""What the driver learns of a chunk."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ig_worker.explain.calibration import Calibration

DELTA_BOUNDS = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)  # |delta| of a chunk's rows is counted up to each


@dataclass(frozen=True)
class Binding:
    """What every result of a run is bound to.

    Args:
        fingerprint: of the run; goes into every file.
        batch_tokens: tokens in one batch of evaluations; 0 leaves it to the settings.
        calibration: what the adaptive engine goes by; None: what goes without a pilot.
        pilot: digest of the rows in the store that are explained already; empty: none are taken from there.
        precision: of matrix products; empty leaves it to the settings.
    """

    fingerprint: str
    batch_tokens: int
    calibration: Calibration | None = None
    pilot: str = ""
    precision: str = ""

    @property
    def anew(self) -> Binding:
        """The same for rows that are all explained by themselves."""
        return replace(self, pilot="")


UNBOUND = Binding("", 0)


@dataclass(frozen=True)
class ChunkRecord:
    """Counts, never rows."""

    index: int
    rows: int
    explained: int
    quarantined: int
    correct: int  # explained rows whose label is the prediction
    labelled: int  # explained rows with a label
    evaluations: float
    converged: int  # explained rows that are not at the limit of evaluations
    seconds: float  # all of it
    engine_seconds: float  # inside the engine
    peak_memory: int  # of the process so far, in bytes
    deltas: tuple[int, ...] = (0,) * len(DELTA_BOUNDS)  # explained rows whose |delta| is at most each of the bounds
