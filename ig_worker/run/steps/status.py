"""How far a run is, read from its files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ig_worker.explain.methods import ADAPTIVE
from ig_worker.run.dispatch.attempt_log import ATTEMPTS, failed_attempts
from ig_worker.run.steps.prepare import Prepared
from ig_worker.run.steps.promise import promise
from ig_worker.run.store.run_store import RunStore


@dataclass(frozen=True)
class Status:
    """Progress of a run."""

    place: str
    state: str
    model: str
    dataset: str
    method: str
    chunks: int
    chunks_done: int
    rows: int
    explained: int
    quarantined: dict[str, int]  # by reason
    failed_attempts: dict[str, int]  # by how they ended
    promise: str = ""  # of the errors
    precision: str = ""  # of matrix products, and why

    def lines(self) -> list[str]:
        """For a terminal."""
        share = self.chunks_done / self.chunks if self.chunks else 0.0
        lines = [
            f"run         {self.place} ({self.state})",
            f"data set    {self.dataset}",
            f"model       {self.model or 'not chosen yet'}",
            f"method      {self.method or 'not chosen yet'}",
            f"chunks      {self.chunks_done} of {self.chunks} done ({share:.0%})",
            f"rows        {self.explained} of {self.rows} explained, {sum(self.quarantined.values())} quarantined",
        ]
        lines += [f"            {count} {reason}" for reason, count in sorted(self.quarantined.items())]
        if self.precision:
            lines.append(f"precision   {self.precision}")
        if self.promise:
            lines.append(f"errors      {self.promise}")
        if self.failed_attempts:
            found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.failed_attempts.items()))
            lines.append(f"attempts    {found}; each is in {ATTEMPTS}/")
        if self.chunks_done < self.chunks or not self.chunks:
            lines.append("next        run the same jobs.explain command again; it does what is missing")
        return lines


def read_status(store: RunStore) -> Status:
    """The status of a run.

    Raises:
        UsageError: there is no run.
    """
    manifest = store.manifest.existing()
    config = manifest.get("config", {})
    prepared = Prepared.of(manifest)
    commits = store.results.commits()
    method = ""
    if "method" in config:
        adaptive = config["method"] == ADAPTIVE
        detail = f"to {config['tolerance']:g}" if adaptive else f"with {config['n_steps']} nodes"
        method = f"{config['method']} {detail}, {config['engine']} engine"
    return Status(
        place=store.place,
        state=manifest.get("state", "unknown"),
        model=config.get("model", ""),
        dataset=prepared.name if prepared else _listed(config.get("dataset", "not read yet")),
        method=method,
        chunks=prepared.chunks if prepared else 0,
        chunks_done=len(commits),
        rows=prepared.rows if prepared else 0,
        explained=sum(commit.rows for commit in commits.values()),
        quarantined=dict(Counter(store.results.quarantined(commits).column("reason").to_pylist())),
        failed_attempts=dict(failed_attempts(store.storage)),
        promise=promise(manifest),
        precision=_precision(manifest),
    )


def _precision(manifest: Mapping[str, Any]) -> str:
    """What was chosen and why; what was asked for where nothing is chosen, or nothing was to be."""
    asked, chosen = (manifest.get(part, {}).get("precision", "") for part in ("config", "identity"))
    told = manifest.get("precision", {})
    return f"{chosen}: {told['reason']}" if told else chosen or asked


def _listed(dataset: str | list[str]) -> str:
    return dataset if isinstance(dataset, str) else ", ".join(dataset)
