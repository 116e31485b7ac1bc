"""Where faults happen: a cluster of three nodes, rows, a network, and drivers in processes of their own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.run_store import RunStore
from tests.faults.poison import KILLS, RAISES
from tests.faults.processes import family, kill
from tests.run.clusters import head_options
from tests.run.s3 import FaultyProxy
from tests.tiny import WORDS, save_tiny_model

ROOT = Path(__file__).resolve().parents[2]
NODES, CHUNK_ROWS = 3, 50
STEPS = 200  # so that a chunk takes a second or so, and a fault finds it at work
_STORE_BYTES = 80_000_000
_LONGEST_S = 900


@dataclass(frozen=True)
class Driver:
    """A driver's process."""

    process: subprocess.Popen[bytes]
    errors: Path

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(timeout=_LONGEST_S)

    @property
    def last_line(self) -> str:
        """What it said last on stderr."""
        return (self.errors.read_text().splitlines() or [""])[-1]


class Stage:
    """Everything that a fault needs.

    Args:
        folder: for rows, network and runs.
        rows: of the data set.
        environment: of the cluster and of the drivers, on top of this process's.
    """

    def __init__(self, folder: Path, rows: int, environment: dict[str, str] | None = None) -> None:
        self.folder, self.rows = folder, rows
        self.environment = {"PYTHONPATH": str(ROOT), "TF_USE_LEGACY_KERAS": "1"} | (environment or {})
        folder.mkdir(parents=True, exist_ok=True)
        self.model = folder / "model"
        if not self.model.exists():
            save_tiny_model(self.model, "distilbert")
        self.proxy: FaultyProxy | None = None  # in front of an S3 server, where a fault needs one
        self._cluster: Any = None
        self._nodes: list[Any] = []

    @property
    def chunks(self) -> int:
        return -(-self.rows // CHUNK_ROWS)

    @contextmanager
    def cluster(self) -> Iterator[None]:
        """A head without room for actors, and three nodes with room for one each."""
        from ray.cluster_utils import Cluster

        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            self._cluster = Cluster(initialize_head=True, head_node_args=head_options(0, _STORE_BYTES))
            for _ in range(NODES):
                self.add_node()
            yield
        finally:
            if self._cluster is not None:
                self._cluster.shutdown()
            for name in self.environment:
                os.environ.pop(name)
            os.environ.update(before)

    def add_node(self) -> None:
        self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES))

    def kill_node(self, *, with_its_actors: bool = True) -> None:
        """End all processes of one node at once, or its raylet only; it does not come back."""
        node = self._nodes.pop()
        raylet = node.all_processes["raylet"][0].process.pid
        kill(family(raylet) if with_its_actors else [raylet])
        with suppress(Exception):  # Ray's own clean-up of what is dead
            self._cluster.remove_node(node)

    def dataset(self, name: str) -> Path:
        """Rows as a file: ``good``; or with two of them spoiled (``kills``, ``raises``) or missing (``null``)."""
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            chance = random.Random(5)
            texts = [" ".join(chance.choices(WORDS[:24], k=chance.randint(3, 60))) for _ in range(self.rows)]
            bad = {"kills": f"good {KILLS}", "raises": f"good {RAISES}", "null": None}
            rows = [{"id": f"r{i}", "text": text, "label": i % 2} for i, text in enumerate(texts)]
            for position in (self.rows // 3, self.rows - 7):
                rows[position]["text"] = bad.get(name, texts[position])
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def start(self, place: str, data: str = "good", module: str = "jobs.explain") -> Driver:
        """Start a driver on a run."""
        settings = {
            "dataset": self.dataset(data), "model": self.model, "run": place, "address": self._cluster.address,
            "actors": NODES, "chunk-rows": CHUNK_ROWS, "max-length": 64, "method": "gausslegendre", "n-steps": STEPS,
            "batch-tokens": 2048,
        }  # fmt: skip
        flags = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
        errors = self.folder / f"driver-{time.monotonic_ns()}.log"
        with errors.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                cwd=ROOT, env=os.environ | self.environment, stdout=subprocess.DEVNULL, stderr=stream,
            )  # fmt: skip
        return Driver(process, errors)

    def wait_for(self, place: str, share: float, driver: Driver) -> None:
        """Wait until a share of a run's chunks is committed."""
        storage, end = Storage(place), time.monotonic() + _LONGEST_S
        while len(storage.list("attributions", ".parquet")) < share * self.chunks:
            assert driver.process.poll() is None, driver.last_line
            assert time.monotonic() < end
            time.sleep(0.05)


@dataclass(frozen=True)
class Result:
    """What is in a run at the end."""

    files: dict[str, bytes]  # of attributions
    tables: dict[str, pa.Table]
    ids: list[str]  # explained or quarantined
    quarantined: int

    @classmethod
    def of(cls, place: str) -> Result:
        store = RunStore(place)
        names = store.storage.list("attributions", ".parquet")
        files = {name: store.storage.read(f"attributions/{name}") or b"" for name in names}
        tables = {name: store.results.read(index) for index, name in enumerate(names)}
        quarantine = store.results.quarantined().column("id").to_pylist()
        explained = [id for table in tables.values() for id in table.column("id").to_pylist()]
        return cls(files, tables, [*explained, *quarantine], len(quarantine))

    def same_rows(self, other: Result) -> bool:
        """Whether both hold the same rows with the same values, whatever run they belong to."""
        return self.tables.keys() == other.tables.keys() and all(
            self.tables[name].replace_schema_metadata(None).equals(other.tables[name].replace_schema_metadata(None))
            for name in self.tables
        )
