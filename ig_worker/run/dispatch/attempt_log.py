"""What was tried, when, and how it ended: RUN/attempts/DRIVER-N.json, for people who look into a night."""

from __future__ import annotations

import datetime
import json
import logging
import time
from collections import Counter
from typing import Any

from ig_worker.data.plan import chunk_name
from ig_worker.errors import StorageError
from ig_worker.run.dispatch.executor import Event
from ig_worker.run.dispatch.policy import Outcome
from ig_worker.run.dispatch.row_search import Control, Part, Probe
from ig_worker.run.store.filesystem import Storage

log = logging.getLogger(__name__)

ATTEMPTS = "attempts"
_EVERY_S, _MOST = 30.0, 1000  # a file so often, or for so many attempts


class Attempts:
    """Collects attempts and writes them now and then, each file once, and at the end of its context.

    Args:
        storage: of the run.
        driver: name of this start of the run.
    """

    def __init__(self, storage: Storage, driver: str) -> None:
        self._storage = storage
        self._driver = driver
        self._number = 0
        self._waiting: list[dict[str, Any]] = []
        self._written = time.monotonic()

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, event: Event) -> None:
        ended = datetime.datetime.now(datetime.UTC)
        entry = {
            "task": task_name(event.task),
            "outcome": event.outcome.value,
            "action": event.action.value,
            "place": event.seat,
            "ended": ended.isoformat(timespec="seconds"),
            "seconds": round(event.seconds, 3),
        }
        self._waiting.append(entry | ({"error": event.error} if event.error else {}))
        if len(self._waiting) >= _MOST or time.monotonic() - self._written > _EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected. That this fails is no reason to stop a run."""
        if not self._waiting:
            return
        content = {"driver": self._driver, "attempts": self._waiting}
        self._written = time.monotonic()
        try:
            self._storage.write(
                f"{ATTEMPTS}/{self._driver}-{self._number}.json", json.dumps(content, indent=1).encode()
            )
        except StorageError as error:
            log.warning("what was tried could not be recorded: %s", error)
            return
        self._number += 1
        self._waiting = []


def task_name(task: Any) -> str:
    """Of a chunk, or of some rows of one."""
    if isinstance(task, Control):
        return "known-good text"
    if isinstance(task, Probe):
        return f"{task_name(task.chunk)} rows {task.start} to {task.stop - 1}"
    return chunk_name(task) if isinstance(task, int) else str(task)


def about_task(task: Any) -> dict[str, str]:
    """The chunk of a task, for a line of the log; empty where it has none."""
    chunk = task.chunk if isinstance(task, Part) else task
    return {"chunk": chunk_name(chunk)} if isinstance(chunk, int) else {}


def failed_attempts(storage: Storage) -> Counter[str]:
    """How often attempts ended otherwise than well, by how. Files that cannot be read are passed over."""
    found: Counter[str] = Counter()
    for name in storage.list(ATTEMPTS, ".json"):
        try:
            entries = json.loads(storage.read(f"{ATTEMPTS}/{name}") or b"{}").get("attempts", [])
            found.update(entry["outcome"] for entry in entries if entry["outcome"] != Outcome.DONE.value)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            log.warning("%s cannot be read", storage.describe(f"{ATTEMPTS}/{name}"))
    return found
