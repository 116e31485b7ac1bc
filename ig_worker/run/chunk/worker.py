"""The work on one chunk, without Ray: read rows, explain them, commit. An actor holds one `ChunkWorker`."""

from __future__ import annotations

import resource
import time
from collections.abc import Container, Sequence
from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ig_worker.data.faults import RowFault, RowFaults
from ig_worker.errors import RowError, RunDamagedError
from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.explain.calibration import Calibration
from ig_worker.explain.explanation import STATUS_CONVERGED, STATUS_LIMIT, Explanation, relative_l1
from ig_worker.explain.in_tf32 import in_precision
from ig_worker.explain.methods import ADAPTIVE, ALIBI, FUSED, Known, build_engine
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.precision import AUTO, FLOAT32, TF32, Choice, concrete, untried
from ig_worker.explain.problems import Engine, Problem, choose_target, expand
from ig_worker.explain.problems import explain_rows as explain_problems
from ig_worker.models.files import ModelFiles
from ig_worker.models.tokenize import TextEncoder
from ig_worker.run.chunk.evaluator import FaithfulnessTest
from ig_worker.run.chunk.pilot import PilotRecord, calibrate, explanations, pilot_table
from ig_worker.run.chunk.records import DELTA_BOUNDS, UNBOUND, Binding, ChunkRecord
from ig_worker.run.chunk.rows import Explained, Row, explain_rows, require_health
from ig_worker.run.chunk.sampling import audit_positions
from ig_worker.run.chunk.tables import attributions_table, quarantine_table
from ig_worker.run.config import EvaluateConfig, ExplainConfig
from ig_worker.run.store.run_files import PILOT
from ig_worker.run.store.run_store import RunStore

if TYPE_CHECKING:
    from ig_worker.explain.forward import Forward
    from ig_worker.explain.paths import PathPrograms

AUDIT_METHOD, AUDIT_STEPS = "gausslegendre", 50
ENDS_PROCESS = RowFault("ends_process", "the process ended, or hung, whenever it explained this row")


class Purpose(Enum):
    """What an engine is for."""

    RUN = "run"  # what the settings ask for
    AUDIT = "audit"  # the fused engine at alibi's rule
    ALIBI = "alibi"
    REFINED = "refined"  # the reference for adaptive runs


class ChunkWorker:
    """Model, tokenizer and engine of one process.

    Args:
        config: the run's configuration.
        files: the model's files, on this node.
    """

    def __init__(self, config: ExplainConfig, files: ModelFiles) -> None:
        from ig_worker.models.classifier import load_classifier  # TensorFlow: seconds

        self._config = config
        self.classifier = load_classifier(files)
        self._encoder = TextEncoder(self.classifier.tokenizer, config.text_style, config.max_length)
        self._special = SpecialIds.of(self.classifier.tokenizer)
        baseline_ids(np.zeros(0, np.int32), config.baseline, self._special)  # refuses what the tokenizer lacks
        self._engines: dict[tuple[Purpose, int, Calibration | None, str], Engine] = {}
        self._pilot: tuple[str, dict[str, Explanation]] = "", {}  # digest of its rows, and these by their ids
        self._traced: dict[str, PathPrograms] = {}  # by their precision: tracing takes seconds

    def _engine(self, purpose: Purpose, binding: Binding = UNBOUND) -> Engine:
        """An engine, made once: its compiled programs are worth keeping."""
        key = purpose, binding.batch_tokens, binding.calibration, self._precision(binding)
        if key not in self._engines:
            self._engines[key] = self._make_engine(purpose, binding)
        return self._engines[key]

    def _precision(self, binding: Binding) -> str:
        return concrete(binding.precision or self._config.precision)

    def _make_engine(self, purpose: Purpose, binding: Binding) -> Engine:
        config, shape = replace(self._config, precision=self._precision(binding)), self._shape(binding.batch_tokens)
        if purpose is Purpose.REFINED:
            from ig_worker.explain.refined import RefinedEngine

            return RefinedEngine(self.classifier.split(config.layer), shape, self._traced.get(FLOAT32))
        if purpose is not Purpose.RUN:
            config = replace(
                config, engine=ALIBI if purpose is Purpose.ALIBI else FUSED, method=AUDIT_METHOD, n_steps=AUDIT_STEPS,
                precision=FLOAT32, keep_hidden=False,
            )  # fmt: skip
        own = config.method == ADAPTIVE and not config.keep_hidden
        programs = self._programs(config.precision) if own else None
        return build_engine(config, self.classifier, shape, known=Known(binding.calibration, programs))

    def _programs(self, precision: str) -> PathPrograms:
        """What multiplies in a precision; those in float32 are the refined reference's, too."""
        from ig_worker.explain.paths import PathPrograms

        name = FLOAT32 if precision == TF32 else precision  # the same programs, run in another way
        if name not in self._traced:
            self._traced[name] = PathPrograms(self.classifier.split(self._config.layer, name), self._shape(0))
        return in_precision(self._traced[name], precision)

    def _shape(self, batch_tokens: int) -> BatchShape:
        tokens = batch_tokens or self._config.batch_tokens or BatchShape.batch_tokens
        return BatchShape(self._config.length_multiple, tokens, self.classifier.shape.positions)

    def measure_batch(self, device: str, rows: int) -> int:
        """Tokens in one batch of evaluations that suit this device, for a run of so many rows; see `explain.sweep`."""
        from ig_worker.explain.sweep import suitable_batch
        from ig_worker.models.runtime import products

        longest, precision = self._config.max_length, concrete(self._config.precision)
        network = self.classifier.split(self._config.layer, precision)
        with products(precision):
            return suitable_batch(network, self.classifier.shape, device, longest, precision, rows)

    def explain_chunk(self, store: RunStore, index: int, binding: Binding, guilty: Sequence[int] = ()) -> ChunkRecord:
        """Explain a chunk and commit it. Rows that cannot be explained go to quarantine, each with its reason.

        Args:
            store: the run.
            index: of the chunk.
            binding: of the run.
            guilty: rows that have been found to end their process; they are not tried.
        """
        started = time.monotonic()
        table, faults = store.chunks.read(index)
        faults = dict.fromkeys(guilty, ENDS_PROCESS) | faults
        self._recall(store, binding)
        explained, failed, engine_seconds = self.explain_table(table, faults, binding)
        quarantined = quarantine_table(index, table, failed)
        store.results.commit(index, attributions_table(explained, self.hidden), quarantined, binding.fingerprint)
        labelled = [(row, result) for row, result in explained if row.label is not None]
        return ChunkRecord(
            index=index,
            rows=table.num_rows,
            explained=len(explained),
            quarantined=len(failed),
            correct=sum(row.label == result.prediction for row, result in labelled),
            labelled=len(labelled),
            evaluations=sum(result.evaluations for _, result in explained),
            converged=sum(result.status != STATUS_LIMIT for _, result in explained),
            seconds=time.monotonic() - started,
            engine_seconds=engine_seconds,
            peak_memory=peak_memory(),
            deltas=tuple(sum(abs(result.delta) <= bound for _, result in explained) for bound in DELTA_BOUNDS),
        )

    def probe_rows(self, store: RunStore, index: int, start: int, stop: int, binding: Binding = UNBOUND) -> None:
        """Explain rows of a chunk and forget the result: what matters is whether this process survives it."""
        table, faults = store.chunks.read(index)
        within = {position - start: fault for position, fault in faults.items() if start <= position < stop}
        self.explain_table(table.slice(start, stop - start), within, binding.anew)

    def try_known_good(self, binding: Binding = UNBOUND) -> None:
        """Explain a text that every healthy device can explain.

        Raises:
            RunStoppedError: what came out are no numbers.
        """
        require_health(self._engine(Purpose.RUN, binding), self._known_good())

    @property
    def hidden(self) -> int | None:
        """Hidden units kept of every token; None without `--keep-hidden`."""
        return self.classifier.shape.hidden if self._config.keep_hidden else None

    def explain_table(
        self, table: pa.Table, faults: RowFaults, binding: Binding = UNBOUND
    ) -> tuple[Explained, RowFaults, float]:
        """Explain the rows of a table with the columns of `schema.INPUT` that have no fault.

        Those of the pilot that `binding` names are taken as they are; `_recall` has them.

        Returns:
            The explained rows, the others with their reasons, and the seconds spent inside the engine.
        """
        rows, failed = self._rows(table, faults)
        engine = self._engine(Purpose.RUN, binding)
        digest, done = self._pilot
        known = done if binding.pilot and binding.pilot == digest else {}
        begun = time.monotonic()
        fresh = explain_rows(engine, [row for row in rows if row.id not in known], failed, self._known_good())
        seconds = time.monotonic() - begun
        taken = [(row, known[row.id]) for row in rows if row.id in known]
        return sorted(fresh + taken, key=lambda pair: pair[0].position), failed, seconds

    def _recall(self, store: RunStore, binding: Binding) -> None:
        """Read the rows of the pilot, once.

        Raises:
            RunDamagedError: they are gone since the driver looked.
        """
        if not binding.pilot or self._pilot[0] == binding.pilot:
            return
        rows = store.pilot.read(binding.pilot)
        if rows is None:
            raise RunDamagedError(
                f"{store.storage.describe(PILOT)} is not what the pilot wrote", remedy="run jobs.explain again"
            )
        self._pilot = binding.pilot, explanations(rows)

    def explain_pilot(self, store: RunStore, count: int, binding: Binding, rows_each: int = 0) -> PilotRecord:
        """Explain `count` rows of the run, chosen by their ids, write them, and tell what the others go by.

        Args:
            store: the run.
            count: rows of the pilot.
            binding: of the run, so far.
            rows_each: rows of the run that each actor has to explain, about.
        """
        from ig_worker.explain.pilot import PilotEngine

        started, config = time.monotonic(), self._config
        shape, rows = self._shape(binding.batch_tokens), self._rows(pilot_table(store, count), {})[0]
        choice, tried = self._choose_precision(rows[:count], shape, rows_each)
        binding = replace(binding, precision=choice.precision)
        exact = choice.precision == FLOAT32 or not choice.exact_truth
        engine = PilotEngine(
            self.classifier.split(config.layer, choice.precision), config.tolerance, shape, config.risk,
            programs=self._programs(choice.precision), exact=None if exact else self._programs(FLOAT32),
        )  # fmt: skip
        plain = self._engine(Purpose.RUN, binding)
        calibration, explained = calibrate(engine, plain, rows, count, self._known_good())
        if not choice.exact_truth:  # by its own rules alone, a precision does not see what it rounds
            calibration = replace(calibration, certified=None)
        count, spent = len(explained), tried + sum(result.evaluations for _, result in explained)
        if not exact:  # by one rule each; what that was too few for is explained again with the others
            explained = [(row, result) for row, result in explained if result.status == STATUS_CONVERGED]
        keep = explained and not config.keep_hidden  # which the pilot has none of
        digest = store.pilot.write(attributions_table(explained)) if keep else ""
        return PilotRecord(calibration, digest, count, spent, time.monotonic() - started, choice)

    def _choose_precision(self, rows: Sequence[Row], shape: BatchShape, rows_each: int) -> tuple[Choice, float]:
        """The precision of the run, and the evaluations that this took."""
        from ig_worker.explain.precision_trial import PrecisionTrial
        from ig_worker.models.runtime import faster_products

        config = self._config
        candidates, lacking = faster_products() if config.precision == AUTO else ((), "")
        reason = untried(config.precision, len(rows), candidates, lacking, final=not config.keep_hidden)
        if reason:
            asked = concrete(config.precision)
            return Choice(asked, reason, exact_truth=asked == FLOAT32), 0.0
        problems = [problem for row in rows for problem in row.problems]
        trial = PrecisionTrial(self._programs, problems, shape, tolerance=config.tolerance, risk=config.risk)
        if config.precision == AUTO:
            return trial.choose(candidates, rows_each), trial.evaluations
        return trial.judge(config.precision), trial.evaluations

    def _known_good(self) -> Problem:
        """A problem that every healthy engine can explain."""
        (tokens,) = self._encoder.encode(["a"])
        return Problem(tokens.inputs, baseline_ids(tokens.inputs.ids, "zeros", self._special))

    def audit_chunk(self, store: RunStore, index: int, share: float) -> list[dict[str, Any]]:
        """Recompute a share of a chunk's explained rows by both engines at `gausslegendre` 50 and compare them.

        What an adaptive run wrote is also compared with the refined reference.

        Returns:
            Records of `schema.AUDIT`; the rows are chosen by their ids.
        """
        rows = self._committed(store, index)
        chosen = set(audit_positions([row.id for row in rows], share))
        wanted = [row for position, row in enumerate(rows) if position in chosen]
        problems = [row.problems for row in wanted]
        ours = explain_problems(self._engine(Purpose.AUDIT), problems)
        theirs = explain_problems(self._engine(Purpose.ALIBI), problems)
        records = [_audit_record(index, row.id, a, b) for row, a, b in zip(wanted, ours, theirs, strict=True)]
        if self._config.method == ADAPTIVE and wanted:
            written = store.results.read(index).select(["id", "attributions", "error_estimate"]).to_pylist()
            by_id = {row["id"]: row for row in written}
            refined = explain_problems(self._engine(Purpose.REFINED), problems)
            for record, reference in zip(records, refined, strict=True):
                row = by_id[record["id"]]
                record["refined_relative_l1"] = relative_l1(row["attributions"], reference.attributions)
                record["error_estimate"] = row["error_estimate"]
        return records

    def refined(self, store: RunStore, index: int, ids: Container[str]) -> dict[str, Explanation]:
        """The explained rows of a chunk that have these ids, by the refined reference."""
        rows = [row for row in self._committed(store, index) if row.id in ids]
        found = explain_problems(self._engine(Purpose.REFINED), [row.problems for row in rows])
        return {row.id: result for row, result in zip(rows, found, strict=True)}

    def _committed(self, store: RunStore, index: int) -> list[Row]:
        """The rows of a chunk that are explained."""
        table, faults = store.chunks.read(index)
        faults |= dict.fromkeys(store.results.read_commit(index).quarantined, RowFault("quarantined", ""))
        return self._rows(table, faults)[0]

    def faithfulness(self, config: EvaluateConfig) -> FaithfulnessTest:
        """What tests how faithful the attributions of chunks are."""
        return FaithfulnessTest(self._forward, self._special, self._config.text_style == "plain", config)

    @cached_property
    def _forward(self) -> Forward:
        from ig_worker.explain.forward import Forward

        precision = self._precision(UNBOUND)
        network = self.classifier.split(self._config.layer, precision)
        return in_precision(Forward(network, self._shape(0)), precision)

    def _rows(self, table: pa.Table, faults: RowFaults) -> tuple[list[Row], RowFaults]:
        """Tokenized rows without known faults, and the faults, to which bad labels have been added."""
        failed = dict(faults)
        records = [(i, record) for i, record in enumerate(table.to_pylist()) if i not in failed]
        rows = []
        for (position, record), tokens in zip(
            records, self._encoder.encode([record["text"] for _, record in records]), strict=True
        ):
            try:
                if not tokens.inputs.mask.any():
                    raise RowError("the text has no tokens in style plain", reason="no_tokens")
                target = choose_target(self._config.target, record["label"], self.classifier.shape.classes)
            except RowError as error:
                failed[position] = RowFault(error.reason, str(error))
                continue
            base = baseline_ids(tokens.inputs.ids, self._config.baseline, self._special)
            problems = expand(tokens.inputs, base, target)
            rows.append(Row(position, record["id"], record["label"], tokens, problems))
        return rows, failed


def _audit_record(index: int, id: str, ours: Explanation, theirs: Explanation) -> dict[str, Any]:
    return {
        "id": id,
        "chunk": index,
        "relative_l1": relative_l1(ours.attributions, theirs.attributions),
        "max_abs_difference": float(np.abs(ours.attributions - theirs.attributions).max()),
        "delta_difference": ours.delta - theirs.delta,
        "method": AUDIT_METHOD,
        "n_steps": AUDIT_STEPS,
    }


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
