"""Whether a run holds what its settings promise: every input row once, in files that nobody has touched since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from ig_worker import schema
from ig_worker.data.plan import chunk_name
from ig_worker.errors import RunDamagedError
from ig_worker.models.layers import CLASSES
from ig_worker.run.steps.prepare import Prepared, data_fingerprint
from ig_worker.run.steps.verify_manifest import count_faults, manifest_faults
from ig_worker.run.steps.verify_rows import rows_faults, value_faults
from ig_worker.run.store import checksummed_parquet
from ig_worker.run.store.results import Commit
from ig_worker.run.store.run_files import ATTRIBUTIONS, CHUNKS, MANIFEST, PILOT, QUARANTINE
from ig_worker.run.store.run_store import RunStore


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
    read: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # whole files, by folder
    # Of them those of another run: file -> its fingerprint.
    foreign: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
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
    manifest = store.manifest.existing()
    prepared = Prepared.of(manifest)
    if prepared is None:
        raise RunDamagedError(f"{store.place} holds no complete data set", remedy="run jobs.explain again")
    found = Verification(chunks=prepared.chunks, rows=prepared.rows)
    found.faults += [Fault(MANIFEST, what) for what in manifest_faults(manifest, prepared)]
    _list_files(store, prepared, found)
    fault = file_fault(store, PILOT) if store.storage.exists(PILOT) else ""  # gone, it is missed by nobody
    found.faults += [Fault(PILOT, fault, (PILOT,))] if fault else []
    seen: set[str] = set()
    named: set[str] = set()  # quarantine files
    rows = 0
    for index in range(prepared.chunks):
        rows += _verify_chunk(store, index, manifest, found, seen, named)
        if progress:
            progress(index + 1, prepared.chunks)
    if rows != prepared.rows and not any(fault.file.startswith(CHUNKS) for fault in found.faults):
        found.faults.append(Fault(MANIFEST, f"says {prepared.rows} rows, the input chunks have {rows}"))
    _blame_manifest(found)
    if not found.faults:
        found.faults += [Fault(MANIFEST, what) for what in count_faults(manifest, found.explained, found.quarantined)]
    found.orphans = sorted(store.quarantine.names() - named)
    return found


def _blame_manifest(found: Verification) -> None:
    """Where all results, or all input chunks, are of one other run: it is run.json that is, and they are worth more."""
    for folder, fingerprints in found.foreign.items():
        if len(fingerprints) == len(found.read[folder]) and len(set(fingerprints.values())) == 1:
            found.faults = [fault for fault in found.faults if fault.file not in fingerprints]
            found.faults.append(Fault(MANIFEST, f"is not of the run that all files in {folder} are of"))


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
    fault = file_fault(store, source)
    if fault:
        found.faults.append(Fault(source, fault, (source, result)))
        return 0
    try:
        inputs, _ = store.chunks.read(index)
    except RunDamagedError as error:
        found.faults.append(Fault(source, error.what.partition(f"{source} ")[2], (source, result)))
        return 0
    if not _is_ours(
        found, source, inputs.schema.metadata.get(schema.META_FINGERPRINT, b"").decode(), _data_fingerprint(manifest)
    ):
        found.faults.append(Fault(source, "holds rows of another data set", (source, result)))
        return inputs.num_rows
    fault = file_fault(store, result)
    if fault:
        # What has not been made yet is not removed: a driver at work may be about to commit it.
        there = store.storage.exists(result)
        found.faults.append(Fault(result, fault, (result,) if there else ()))
        return inputs.num_rows
    try:
        commit = store.results.read_commit(index)
    except RunDamagedError as error:
        found.faults.append(Fault(result, error.what.partition(f"{result} ")[2], (result,)))
        return inputs.num_rows
    found.explained += commit.rows
    found.quarantined += len(commit.quarantined)
    named.add(commit.quarantine_file)
    if not _is_ours(found, result, commit.fingerprint, manifest.get("fingerprint", "")):
        found.faults.append(Fault(result, "belongs to another run: its fingerprint differs", (result,)))
        return inputs.num_rows
    outputs = manifest.get("data", {}).get("outputs", CLASSES)
    found.faults += [Fault(result, what, (result,)) for what in _result_faults(store, commit, inputs, seen, outputs)]
    return inputs.num_rows


def file_fault(store: RunStore, name: str) -> str:
    """What is wrong with a Parquet file of a run, to the last byte; empty where nothing is."""
    data = store.storage.read(name)
    return "is gone" if data is None else checksummed_parquet.fault_of(data, partial(_expected_schema, name))


def _expected_schema(name: str, found: pa.Schema) -> pa.Schema:
    """What a file in CHUNKS, ATTRIBUTIONS or QUARANTINE, or that of the pilot, has to hold."""
    folder = name.partition("/")[0]
    version = (found.metadata or {}).get(schema.META_VERSION, b"").decode()
    pairs, outputs = schema.SEGMENTS in found.names, schema.outputs_in(found.names)
    kept = [found.field(name) for name in schema.kept_in(found)]
    if folder == CHUNKS:
        return schema.inputs("pair" in found.names, outputs, kept)
    if folder != ATTRIBUTIONS:
        return {PILOT: schema.attributions(None, pairs, outputs, version), QUARANTINE: schema.QUARANTINE}[folder]
    units = found.field("hidden_attributions").type if "hidden_attributions" in found.names else None
    return schema.attributions(None if units is None else units.value_type.list_size, pairs, outputs, version, kept)


def _is_ours(found: Verification, file: str, fingerprint: str, expected: str) -> bool:
    folder = file.partition("/")[0]
    found.read[folder].add(file)
    if fingerprint == expected:
        return True
    found.foreign[folder][file] = fingerprint
    return False


def _data_fingerprint(manifest: dict[str, Any]) -> str:
    """What every input chunk has to carry."""
    return data_fingerprint(manifest["data_identity"], manifest["data"]["rows"]) if "data_identity" in manifest else ""


def _result_faults(store: RunStore, commit: Commit, inputs: pa.Table, seen: set[str], outputs: str) -> list[str]:
    """What is wrong with the rows of a result whose file is whole."""
    quarantine = pa.Table.from_batches([], schema=schema.QUARANTINE)
    if commit.quarantine_file:
        fault = file_fault(store, f"{QUARANTINE}/{commit.quarantine_file}")
        if not fault and not store.quarantine.is_named_by_content(commit.quarantine_file):
            fault = "holds other rows than it was named for"
        if fault:
            return [f"names {QUARANTINE}/{commit.quarantine_file}, which {fault}"]
        quarantine = store.quarantine.read(commit.quarantine_file)
    explained = store.results.read(commit.index)
    faults = rows_faults(inputs, explained, quarantine, commit.quarantined)
    if faults:
        return faults
    if commit.rows != int((explained.column("rank").to_numpy() == 0).sum()):
        return [f"says that it has {commit.rows} texts, which it has not"]
    ids = set(explained.column("id").to_pylist())
    twice = [id for id in ids if id in seen]
    seen.update(ids)
    if twice:
        return [f"has {len(twice)} rows that another chunk has too, such as {min(twice)!r}"]
    return value_faults(explained, outputs)


def repair(store: RunStore, found: Verification) -> list[str]:
    """Remove damaged files, so that `jobs.explain` makes them again; returns their names.

    None while run.json itself has a fault: it is what tells which files are right.
    """
    if any(fault.file == MANIFEST for fault in found.faults):
        return []
    names = sorted({name for fault in found.faults for name in fault.remove or ()})
    removed = [name for name in names if store.storage.exists(name)]
    for name in removed:
        store.storage.delete(name)
    return removed
