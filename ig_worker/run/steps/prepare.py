"""Sharding a data set into the run's chunks."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ig_worker.data.faults import FaultFinder
from ig_worker.data.plan import rechunk
from ig_worker.data.sources import Documents, open_documents
from ig_worker.errors import DataError
from ig_worker.run.config import DataConfig
from ig_worker.run.identity import fingerprint, refuse_differences, settings
from ig_worker.run.store.filesystem import RUN_PATIENCE_S
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import CLASSES

PREPARED = "prepared"
PREPARING = "preparing"
COMPLETE = "complete"
# Of reading the same files.
_WAYS = (
    "label_map", "text_column", "pair_column", "label_column", "id_column", "keep_columns", "encoding", "delimiter",
    "outputs",
)  # fmt: skip
Progress = Callable[[int, int], None]  # told the rows that are written, and those in all


@dataclass(frozen=True)
class Prepared:
    """A data set in chunks."""

    name: str
    digest: str
    rows: int
    chunks: int
    faults: int  # rows already known to be unexplainable

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Prepared | None:
        """What run.json says was prepared, or None while it is not."""
        data = manifest.get("data", {})
        names = ("name", "digest", "rows", "chunks", "faults")
        if manifest.get("state") == PREPARING or not all(name in data for name in names):
            return None
        return cls(**{name: data[name] for name in names})

    def rows_of(self, index: int, chunk_rows: int) -> int:
        """Rows of chunk `index`: all are full but the last."""
        return min(chunk_rows, self.rows - index * chunk_rows)


def prepare(
    store: RunStore,
    config: DataConfig,
    progress: Progress | None = None,
    documents: Documents | None = None,
) -> Prepared:
    """Shard the data set of `config` into RUN/chunks; a run that already holds it is left as it is.

    Whoever calls this holds the run's lease, and opens the documents before: what is wrong with them is then told
    while nothing has been written.

    Args:
        store: the run.
        config: which rows.
        progress: called with (rows written, rows in all) after each chunk.
        documents: those of `config`; None opens them.

    Raises:
        DataError: the data set cannot be read.
        RunMismatchError: the run holds other rows.
    """
    documents = documents or open_documents(config.spec())
    asked = {**data_identity(config), "data": documents.digest}
    if documents.outputs != CLASSES:  # then they decide what labels are
        asked["outputs"] = documents.outputs
    manifest = store.manifest.read() or {}
    store.storage.patience_s = RUN_PATIENCE_S  # that the place can be reached is known by now
    done = Prepared.of(manifest)
    same_files = manifest.get("content") == documents.content
    before = manifest.get("data_identity", {})
    if done is not None and not (same_files and _reads_otherwise(store, before, asked)):
        refuse_differences(store.place, before, asked)
        missing = set(range(done.chunks)) - store.chunks.indexes()
        if missing:  # someone deleted a damaged one, as they were told to
            _write_chunks(store, config, documents, progress, missing)
        return done
    # Nothing, a sharding that did not come to its end, or one that nothing rests on: whatever it was, it starts anew.
    return _shard_anew(store, config, asked, progress, documents)


def _shard_anew(
    store: RunStore, config: DataConfig, asked: dict[str, Any], progress: Progress | None, documents: Documents
) -> Prepared:
    store.manifest.write({"state": PREPARING, "config": settings(config), "data_identity": asked})
    prepared = _write_chunks(store, config, documents, progress)
    for index in sorted(store.chunks.indexes() - set(range(prepared.chunks))):  # of a sharding that was given up
        store.chunks.delete(index)
    kept = {field.name: str(field.type) for field in documents.kept}
    data = {**asdict(prepared), "class_names": list(documents.class_names), "kept": kept}
    what = {"config": settings(config), "data_identity": asked, "content": documents.content, "data": data}
    store.manifest.write({"state": PREPARED, **what})
    return prepared


def _reads_otherwise(store: RunStore, before: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a run without results is asked for the rows of the same files, read in another way.

    What labels mean, say, was put right, or is known better now that there is a model.
    """
    differing = {key for key in before.keys() | asked.keys() if before.get(key) != asked.get(key)}
    return "data" in differing and differing <= {"data", *_WAYS} and not store.results.indexes()


def is_complete(store: RunStore) -> bool:
    """Whether run.json says that nothing is left to do."""
    return (store.manifest.read() or {}).get("state") == COMPLETE


def data_identity(config: DataConfig) -> dict[str, Any]:
    """What decides the chunks, together with the digest of the rows; how the rows were asked for, to name it."""
    return {name: value for name, value in settings(config).items() if name in DataConfig.__dataclass_fields__}


def data_fingerprint(identity: Mapping[str, Any], rows: int) -> str:
    """Hash of all that decides the chunks, given a `data_identity` with the digest of its rows."""
    return fingerprint(
        {"rows": rows, **{name: identity.get(name) for name in ("data", "chunk_rows", "max_text_bytes")}}
    )


def _write_chunks(
    store: RunStore,
    config: DataConfig,
    documents: Documents,
    progress: Progress | None,
    only: Container[int] | None = None,
) -> Prepared:
    finder = FaultFinder(config.max_text_bytes)
    fingerprint = data_fingerprint({**data_identity(config), "data": documents.digest}, documents.rows)
    rows = chunks = faults = 0
    for index, table in enumerate(rechunk(documents.batches(), config.chunk_rows)):
        found = finder.check(table)
        if only is None or index in only:
            store.chunks.write(index, table, found, fingerprint)
        rows, chunks, faults = rows + table.num_rows, index + 1, faults + len(found)
        if progress:
            progress(rows, documents.rows)
    if not rows:
        raise DataError(f"{documents.name} has no rows", expected="at least one row after --offset and --limit")
    return Prepared(documents.name, documents.digest, rows, chunks, faults)
