"""Whether a run holds what its settings promise: every input row once, in files that nobody has touched since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ig_worker import schema
from ig_worker.data.plan import chunk_name
from ig_worker.errors import RunDamagedError
from ig_worker.explain.engine import STATUS_CONVERGED, STATUS_FIXED
from ig_worker.run.config import fingerprint
from ig_worker.run.prepare import Prepared
from ig_worker.run.store import ATTRIBUTIONS, CHUNKS, MANIFEST, QUARANTINE, Commit, RunStore, manifest_checksum

_ROUNDING = 1e-5  # float32, over the sum of a text's attributions
_FLOOR = 0.01  # of the attributions' L1 norm, as in `engine.relative_l1`


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    file: str  # within the run
    what: str
    remove: tuple[str, ...] | None = None  # files to remove, so that jobs.explain makes them again; None: it cannot

    def __str__(self) -> str:
        return f"{self.file} {self.what}"


@dataclass
class Verification:
    """What was found."""

    chunks: int = 0
    rows: int = 0
    explained: int = 0
    quarantined: int = 0
    faults: list[Fault] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)  # quarantine files that no result names: left by a crash, unread

    @property
    def beyond_repair(self) -> list[Fault]:
        return [fault for fault in self.faults if fault.remove is None]

    def lines(self, most: int = 20) -> list[str]:
        """For a terminal; no more faults than `most`."""
        lines = [str(fault) for fault in self.faults[:most]]
        if len(self.faults) > most:
            lines.append(f"and {len(self.faults) - most} more")
        if self.orphans:
            lines.append(f"note: {len(self.orphans)} files in {QUARANTINE} that no result names; a crash left them")
        done = f"{self.explained} of {self.rows} rows explained, {self.quarantined} quarantined, {self.chunks} chunks"
        return [*lines, f"{'verified' if not self.faults else f'{len(self.faults)} faults'}: {done}"]


def verify_run(store: RunStore, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Check every file of a run and every row in them. Nothing is changed.

    Args:
        store: the run.
        progress: called with (chunks checked, chunks in all) after each chunk.

    Raises:
        UsageError: there is no run, or it has not been prepared yet.
    """
    manifest = store.manifest()
    prepared = Prepared.of(manifest)
    if prepared is None:
        raise RunDamagedError(f"{store.place} holds no complete data set", remedy="run jobs.explain again")
    found = Verification(chunks=prepared.chunks, rows=prepared.rows)
    found.faults += [Fault(MANIFEST, what) for what in manifest_faults(manifest)]
    _list_files(store, prepared, found)
    seen: set[str] = set()
    named: set[str] = set()  # quarantine files
    rows = 0
    for index in range(prepared.chunks):
        rows += _verify_chunk(store, index, manifest, found, seen, named)
        if progress:
            progress(index + 1, prepared.chunks)
    if rows != prepared.rows and not any(fault.file.startswith(CHUNKS) for fault in found.faults):
        found.faults.append(Fault(MANIFEST, f"says {prepared.rows} rows, the input chunks have {rows}"))
    found.orphans = sorted(store.quarantine_files() - named)
    return found


def manifest_faults(manifest: dict[str, Any]) -> list[str]:
    """What is wrong with run.json by itself."""
    faults = []
    if manifest.get("checksum") != manifest_checksum(manifest):
        faults.append("was changed by hand: its checksum differs")
    if "identity" in manifest and fingerprint(manifest["identity"]) != manifest.get("fingerprint"):
        faults.append("has a fingerprint that is not of its settings")
    return faults


def _list_files(store: RunStore, prepared: Prepared, found: Verification) -> None:
    """Files whose names belong to no chunk of this run."""
    expected = {f"{chunk_name(index)}.parquet" for index in range(prepared.chunks)}
    for folder in (CHUNKS, ATTRIBUTIONS):
        for name in store.storage.list(folder):
            if name not in expected:
                file = f"{folder}/{name}"
                found.faults.append(Fault(file, "belongs to no chunk of this run", (file,)))


def _verify_chunk(
    store: RunStore, index: int, manifest: dict[str, Any], found: Verification, seen: set[str], named: set[str]
) -> int:
    """Check the files of one chunk; returns its number of input rows."""
    source, result = (f"{folder}/{chunk_name(index)}.parquet" for folder in (CHUNKS, ATTRIBUTIONS))
    fault = store.fault_of(source)
    if fault:
        found.faults.append(Fault(source, fault, (source, result)))
        return 0
    inputs, _ = store.read_chunk(index)
    fault = store.fault_of(result)
    if fault:
        # What has not been made yet is not removed: a driver at work may be about to commit it.
        there = store.storage.exists(result)
        found.faults.append(Fault(result, fault, (result,) if there else ()))
        return inputs.num_rows
    try:
        commit = store.read_commit(index)
    except RunDamagedError as error:
        found.faults.append(Fault(result, error.what.partition(f"{result} ")[2], (result,)))
        return inputs.num_rows
    faults = _result_faults(store, manifest, commit, inputs, seen)
    found.faults += [Fault(result, what, (result,)) for what in faults]
    found.explained += commit.rows
    found.quarantined += len(commit.quarantined)
    named.add(commit.quarantine_file)
    return inputs.num_rows


def _result_faults(
    store: RunStore, manifest: dict[str, Any], commit: Commit, inputs: pa.Table, seen: set[str]
) -> list[str]:
    """What is wrong with the rows of a result whose files are whole."""
    if commit.fingerprint != manifest.get("fingerprint"):
        return ["belongs to another run: its fingerprint differs"]
    quarantine = pa.Table.from_batches([], schema=schema.QUARANTINE)
    if commit.quarantine_file:
        fault = store.fault_of(f"{QUARANTINE}/{commit.quarantine_file}")
        if fault:
            return [f"names {QUARANTINE}/{commit.quarantine_file}, which {fault}"]
        quarantine = store.read_quarantine_file(commit.quarantine_file)
    explained = store.read_attributions(commit.index)
    faults = rows_faults(inputs, explained, quarantine, commit.quarantined)
    if faults:
        return faults
    ids = explained.column("id").to_pylist()
    twice = [id for id in ids if id in seen]
    seen.update(ids)
    if twice:
        return [f"has {len(twice)} rows that another chunk has too, such as {twice[0]!r}"]
    return value_faults(explained)


def rows_faults(inputs: pa.Table, explained: pa.Table, quarantine: pa.Table, positions: tuple[int, ...]) -> list[str]:
    """Whether every row of an input chunk is explained or quarantined, once and in order."""
    faults = []
    ids = inputs.column("id").to_pylist()
    outside = [position for position in positions if not 0 <= position < len(ids)]
    if outside or len(set(positions)) != len(positions):
        return [f"names rows {outside or list(positions)} of {len(ids)} as quarantined"]
    left = [id for position, id in enumerate(ids) if position not in set(positions)]
    found = explained.column("id").to_pylist()
    if found != left:
        missing, extra = set(left) - set(found), set(found) - set(left)
        names = ", ".join(repr(id) for id in sorted(map(str, missing | extra))[:3])
        faults.append(f"has other rows than its input chunk ({len(missing)} missing, {len(extra)} too many: {names})")
    kept = [(row["position"], row["id"]) for row in quarantine.select(["position", "id"]).to_pylist()]
    if kept != [(position, ids[position]) for position in sorted(positions)]:
        faults.append("names other rows as quarantined than its quarantine file holds")
    return faults


def value_faults(table: pa.Table) -> list[str]:
    """Whether the numbers of explained rows are finite and agree with each other."""
    if not table.num_rows:
        return []
    numbers = {name: table.column(name).to_numpy() for name in ("delta", "evaluations", "prediction", "target")}
    change = _difference(table, "target_probability", "baseline_probability")
    rows, values = _flat(table, "attributions")
    sums = np.bincount(rows, weights=values, minlength=table.num_rows)
    norms = np.bincount(rows, weights=np.abs(values), minlength=table.num_rows)
    gaps = sums - change
    estimates = table.column("error_estimate").to_numpy().astype(np.float64)  # null becomes nan
    unknown = np.array(table.column("error_estimate").combine_chunks().is_null())
    status = np.array(table.column("status").to_pylist())
    classes, probabilities = _flat(table, "probabilities")
    totals = np.bincount(classes, weights=probabilities, minlength=table.num_rows)
    fixed, converged = status == STATUS_FIXED, status == STATUS_CONVERGED
    room = _ROUNDING * (1 + norms)
    checks = {
        "values that are not finite": ~np.isfinite(sums) | ~np.isfinite(numbers["delta"]) | ~np.isfinite(totals),
        "lists of different lengths": _uneven(table),
        "probabilities that do not add up to 1": np.abs(totals - 1) > 1e-4,
        "a delta that is not of their attributions": np.abs(gaps - numbers["delta"]) > room,
        "an error estimate, or none, against their status": unknown != fixed,
        "a delta above their error estimate": converged & (np.abs(gaps) > estimates * np.maximum(norms, _FLOOR) + room),
    }
    ids = table.column("id").to_pylist()
    return [
        f"has {int(wrong.sum())} rows with {what}, such as {ids[int(np.argmax(wrong))]!r}"
        for what, wrong in checks.items()
        if wrong.any()
    ]


def _difference(table: pa.Table, first: str, second: str) -> npt.NDArray[np.float64]:
    a, b = (table.column(name).to_numpy().astype(np.float64) for name in (first, second))
    return a - b


def _flat(table: pa.Table, column: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """All values of a column of lists, and the row of each."""
    lists = table.column(column).combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    return np.repeat(np.arange(len(lists)), lengths), lists.flatten().to_numpy().astype(np.float64)


def _uneven(table: pa.Table) -> npt.NDArray[np.bool_]:
    lengths = [
        table.column(name).combine_chunks().value_lengths().to_numpy()
        for name in ("tokens", "input_ids", "word_ids", "attributions")
    ]
    return np.any([length != lengths[0] for length in lengths[1:]], axis=0)


def repair(store: RunStore, found: Verification) -> list[str]:
    """Remove damaged files, so that `jobs.explain` makes them again; returns their names."""
    names = sorted({name for fault in found.faults for name in fault.remove or ()})
    removed = [name for name in names if store.storage.exists(name)]
    for name in removed:
        store.storage.delete(name)
    return removed
