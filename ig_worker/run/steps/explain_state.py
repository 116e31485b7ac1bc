"""A run that is under way: what it was started with, what it has done, and what it may not go beyond."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from ig_worker.errors import RunStoppedError
from ig_worker.explain.precision import FLOAT32, without_trial
from ig_worker.models.files import ModelFiles
from ig_worker.run.chunk.pilot import PilotRecord
from ig_worker.run.chunk.records import Binding
from ig_worker.run.config import ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.identity import fingerprint
from ig_worker.run.steps.audit import read_audit
from ig_worker.run.steps.binding import binding_of
from ig_worker.run.steps.preflight import over_budget
from ig_worker.run.steps.prepare import Prepared
from ig_worker.run.steps.result import StartTotals
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore


@dataclass
class ActiveRun:
    """A run that has been prepared and bound to its identity."""

    store: RunStore
    config: ExplainConfig
    files: ModelFiles
    prepared: Prepared
    identity: dict[str, Any]
    manifest: dict[str, Any]
    todo: list[int]  # chunks without a result
    lease: Lease
    deadline: Deadline
    explained: int = 0  # rows, before this start
    quarantined: int = 0  # rows, so far
    has_pilot: bool = False  # whether the rows of the pilot are in the store
    recorded: bool = False  # whether its end has been written down
    started: float = field(default_factory=time.monotonic)
    totals: StartTotals = field(default_factory=StartTotals)

    @property
    def fingerprint(self) -> str:
        """What the settings, the data and the model give; in every file of the run."""
        return fingerprint(self.identity)

    @property
    def batch_tokens(self) -> int:
        """Tokens in one batch of evaluations; 0 while it is to be measured."""
        return int(self.identity["batch_tokens"])

    @property
    def binding(self) -> Binding:
        """What every result is bound to."""
        binding = binding_of(self.identity)
        return binding if self.has_pilot else binding.anew

    @property
    def pilot_due(self) -> bool:
        """Whether what the method goes by is still to be found out."""
        return "calibration" in self.identity and self.identity["calibration"] is None

    def bind(self, batch_tokens: int) -> None:
        """Fix the evaluation batch, and write the run's identity down."""
        self.identity["batch_tokens"] = batch_tokens
        self._write_identity()

    def calibrate(self, record: PilotRecord, told: dict[str, Any]) -> None:
        """Fix what all rows go by, and write the run's identity down, with what is told of the pilot."""
        content = json.loads(json.dumps(record.calibration.to_json()))  # as run.json gives it back: lists, not tuples
        self.identity |= {"calibration": content, "pilot_digest": record.digest}
        self.has_pilot = bool(record.digest)
        choice = record.choice or without_trial(self.config.precision)
        self.identity["precision"] = choice.precision
        self.manifest = {key: value for key, value in self.manifest.items() if key not in ("pilot", "precision")}
        self.manifest |= {"pilot": told} if told else {}
        self.manifest |= {"precision": choice.to_json()} if self.config.precision != FLOAT32 else {}
        self._write_identity()

    def _write_identity(self) -> None:
        self.lease.confirm()
        self.manifest |= {"identity": self.identity, "fingerprint": self.fingerprint}
        self.store.manifest.write(self.manifest)

    @property
    def audit_due(self) -> bool:
        return self.config.audit > 0 and read_audit(self.store, self.fingerprint, self.config.audit) is None

    @property
    def counts(self) -> dict[str, int]:
        """How far it is, without a look at the files: there may be no time for one."""
        return {
            "rows": self.prepared.rows,
            "explained": self.explained + self.totals.rows,
            "quarantined": self.quarantined,
            "chunks": self.prepared.chunks,
            "chunks_done": self.prepared.chunks - len(self.todo) + self.totals.chunks,
        }

    def check_budget(self, quarantined: int) -> None:
        """Raise RunStoppedError once more rows are quarantined than `--max-quarantined` allows."""
        self.quarantined = quarantined
        if over_budget(quarantined, self.prepared.rows, self.config.max_quarantined):
            raise RunStoppedError(
                f"{quarantined} of {self.prepared.rows} rows are quarantined",
                expected=f"at most {self.config.max_quarantined} (--max-quarantined)",
                remedy="see the reasons in RUN/quarantine; what is done is kept",
            )

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        return f"{self.counts['chunks_done']} of {self.counts['chunks']} chunks are done and kept"

    def check(self) -> None:
        """Raise RunStoppedError once `--deadline` has passed, or another driver has taken the run over."""
        self.lease.check()
        self.deadline.check(lambda: self.progress)
