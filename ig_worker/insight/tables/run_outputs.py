"""What the model of a run says of a text, as its files tell."""

from __future__ import annotations

from ig_worker import schema
from ig_worker.explain.predicted import DEFAULT
from ig_worker.run.store.run_store import RunStore


def outputs_of(store: RunStore) -> str:
    """One of `schema.OUTPUTS`, by the columns of the run's results; classes where there are none yet."""
    index = min(store.results.commits(), default=None)
    return schema.CLASSES if index is None else schema.outputs_in(store.results.schema(index).names)


def threshold_of(store: RunStore) -> float:
    """From which probability on one of several labels is predicted."""
    return float((store.manifest.existing().get("config") or {}).get("threshold", DEFAULT))
