"""What a run tells Prometheus while it works. Ray carries it: each node serves its numbers on its metrics port.

The driver alone tells, from the small records that pass through it anyway: about 30 microseconds a chunk. What it has
told is served until its node goes, also after its end; ending the connection to Ray sends the rest. A process that
connects a third time has its counts doubled there (Ray 2.60 leaves the earlier connections' senders at work); a job
connects once, and so does a night (`cluster.kept`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ray.util import metrics as ray_metrics

from ig_worker.run.chunk.records import DELTA_BOUNDS
from ig_worker.run.dispatch.executor import Crew, Event
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import Outcome
from ig_worker.run.logs import run_name

if TYPE_CHECKING:
    from ig_worker.run.chunk.records import ChunkRecord


class Metric(NamedTuple):
    """One metric, by Ray's name."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ("run", "step")  # never a chunk: each value of a tag is a series that Prometheus keeps

    def exported(self, name: str) -> list[str]:
        """What Prometheus calls it."""
        endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
        return [f"ray_{name}{ending}" for ending in endings[self.kind]]


METRICS = {
    "ig_worker_reviews": Metric("counter", "Rows explained"),
    "ig_worker_evaluations": Metric("counter", "Evaluations of the network: forward and gradient 1, forward alone 0.5"),
    "ig_worker_quarantined": Metric("counter", "Rows put into quarantine"),
    "ig_worker_chunks": Metric("counter", "Chunks done"),
    "ig_worker_failed_attempts": Metric("counter", "Attempts that failed, by how", ("run", "step", "outcome")),
    # Ray's histograms take one value a call, and a chunk has hundreds: these are the buckets of one, as a counter.
    "ig_worker_abs_delta": Metric("counter", "Rows by |delta|, cumulative as a histogram's buckets", ("run", "le")),
    "ig_worker_chunk_seconds": Metric("histogram", "Seconds that a chunk took, as the driver sees it"),
    "ig_worker_chunks_open": Metric("gauge", "Chunks that are not done"),
    "ig_worker_actors_ready": Metric("gauge", "Actors that are ready"),
    "ig_worker_actors_starting": Metric("gauge", "Actors that start, or wait for a node"),
}
CHUNK_SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0]


class RunMetrics:
    """The metrics of one step of a run, for the time of one connection to Ray.

    Args:
        run: name of the run.
        step: explain, audit or evaluate.
    """

    def __init__(self, run: str, step: str) -> None:
        self._tags = {"run": run.encode("ascii", "replace").decode(), "step": step}  # Ray takes no others
        self._made = {name: _make(name, metric) for name, metric in METRICS.items()}

    def attempt(self, event: Event) -> None:
        """Tell how an attempt at a chunk ended."""
        if event.outcome is not Outcome.DONE:
            self._count("failed_attempts", 1, outcome=event.outcome.value)
        elif event.record is not None:
            self._count("chunks", 1)
            self._made["ig_worker_chunk_seconds"].observe(event.seconds, self._tags)

    def explained(self, record: ChunkRecord) -> None:
        """Tell what has come of a chunk."""
        self._count("reviews", record.explained)
        self._count("evaluations", record.evaluations)
        self._count("quarantined", record.quarantined)
        for bound, rows in zip(["+Inf", *map(str, DELTA_BOUNDS)], [record.explained, *record.deltas], strict=True):
            self._count("abs_delta", rows, le=bound)

    def state(self, ledger: Ledger, crew: Crew) -> None:
        """Tell where the step is."""
        self._set(ledger.unfinished, crew.ready, crew.actors - crew.ready)

    def ended(self) -> None:
        """Tell that nobody is at work any more."""
        self._set(0, 0, 0)

    def _set(self, chunks_open: int, ready: int, starting: int) -> None:
        for name, value in (("chunks_open", chunks_open), ("actors_ready", ready), ("actors_starting", starting)):
            self._made[f"ig_worker_{name}"].set(value, self._tags)

    def _count(self, name: str, value: float, **tags: str) -> None:
        if value > 0:  # Ray refuses 0
            known = METRICS[f"ig_worker_{name}"].tags
            mine = {key: tag for key, tag in (self._tags | tags).items() if key in known}
            self._made[f"ig_worker_{name}"].inc(value, mine)


@contextmanager
def step_metrics(place: str, step: str) -> Iterator[RunMetrics]:
    """The metrics of one step, explain, audit or evaluate, of the run at `place`; needs a connection to Ray."""
    made = RunMetrics(run_name(place), step)
    try:
        yield made
    finally:
        made.ended()


def _make(name: str, metric: Metric) -> Any:
    if metric.kind == "histogram":
        return ray_metrics.Histogram(name, metric.help, CHUNK_SECONDS, metric.tags)
    kind = ray_metrics.Counter if metric.kind == "counter" else ray_metrics.Gauge
    return kind(name, metric.help, metric.tags)


def exported_names() -> Sequence[str]:
    """Of all metrics, as Prometheus sees them."""
    return [text for name, metric in METRICS.items() for text in metric.exported(name)]
