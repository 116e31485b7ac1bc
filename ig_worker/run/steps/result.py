"""How a run ended, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from ig_worker.run.chunk.records import ChunkRecord
from ig_worker.run.steps.audit import Beyond


@dataclass
class StartTotals:
    """Sums over the chunks that this start of the run explained."""

    chunks: int = 0
    rows: int = 0
    correct: int = 0
    labelled: int = 0
    evaluations: float = 0.0
    converged: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    peak_memory: int = 0

    def add(self, record: ChunkRecord) -> None:
        self.chunks += 1
        self.rows += record.explained
        self.correct += record.correct
        self.labelled += record.labelled
        self.evaluations += record.evaluations
        self.converged += record.converged
        self.seconds += record.seconds
        self.engine_seconds += record.engine_seconds
        self.peak_memory = max(self.peak_memory, record.peak_memory)


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    exit_code: int
    state: str
    rows: int
    explained: int
    quarantined: int
    chunks: int
    computed: int  # chunks explained by this start; the others were there
    wall_seconds: float
    totals: StartTotals = field(default_factory=StartTotals)
    audited: int | None = None  # rows recomputed with alibi; None without --audit
    largest_audit_difference: float | None = None  # relative L1
    largest_refined_difference: float | None = None  # relative L1; None for fixed rules
    audit_beyond: Beyond | None = None  # the row that is furthest beyond --max-audit-error
    fault: str = ""  # why the exit code is 5, for a person
    promise: str = ""  # of the errors, in one line; see `promise`
    suspicious: list[str] = field(default_factory=list)  # what is likely to be a mistake; see `preview`

    @property
    def rate(self) -> float:
        """Reviews a second of this start, actors' start-up and audit included."""
        return self.totals.rows / max(self.wall_seconds, 1e-9)

    def lines(self) -> list[str]:
        """The result as lines for a terminal."""
        totals = self.totals
        lines = [f"{self.explained} of {self.rows} rows explained, {self.quarantined} quarantined"]
        if totals.chunks:
            each = totals.evaluations / max(totals.rows, 1)
            lines.append(
                f"this start: {totals.chunks} of {self.chunks} chunks, {totals.rows} rows "
                f"in {self.wall_seconds:.1f} s, {self.rate:.2f} reviews/s, {each:.1f} evaluations a review, "
                f"peak memory {totals.peak_memory / 2**20:.0f} MiB an actor"
            )
            if totals.converged < totals.rows:
                lines.append(f"{totals.rows - totals.converged} rows reached --max-evaluations before --tolerance")
        if self.promise:
            lines.append(f"errors: {self.promise}")
        if totals.labelled:
            lines.append(f"accuracy {totals.correct / totals.labelled:.4f} on {totals.labelled} labelled rows")
        if self.audited == 0:
            lines.append("audit: no row fell into the share that --audit asks for")
        elif self.audited:
            lines.append(
                f"audit against alibi: {self.audited} rows, largest relative L1 {self.largest_audit_difference:.2e}"
            )
            if self.largest_refined_difference is not None:
                lines.append(f"error against the refined reference: at most {self.largest_refined_difference:.2e}")
        return lines + [f"suspicious: {line}" for line in self.suspicious]
