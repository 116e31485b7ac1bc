"""Whether run.json agrees with itself. What it says of the files is compared with them in `verify`."""

from __future__ import annotations

from typing import Any

from ig_worker.data.plan import chunk_count
from ig_worker.explain.precision import AUTO
from ig_worker.run.identity import fingerprint
from ig_worker.run.steps.prepare import Prepared
from ig_worker.run.store.manifest import manifest_checksum

_MEASURED = "batch_tokens"  # 0 in the settings where the run has measured it


def manifest_faults(manifest: dict[str, Any], prepared: Prepared) -> list[str]:
    """What is wrong with run.json by itself."""
    faults = []
    if manifest.get("checksum") != manifest_checksum(manifest):
        faults.append("was changed by hand: its checksum differs")
    asked, identity = manifest.get("data_identity", {}), manifest.get("identity", {})
    if asked and prepared.chunks != chunk_count(prepared.rows, int(asked["chunk_rows"])):
        faults.append(f"says {prepared.chunks} chunks, which {prepared.rows} rows do not make")
    if asked and prepared.digest != asked.get("data"):
        faults.append("names two data sets")
    if "identity" not in manifest:
        return faults
    if fingerprint(identity) != manifest.get("fingerprint"):
        faults.append("has a fingerprint that is not of its settings")
    if identity.get("data", prepared.digest) != prepared.digest:
        faults.append("names two data sets")
    settings = manifest.get("config", {})
    shared = sorted(settings.keys() & identity.keys() - ({_MEASURED} if not settings.get(_MEASURED) else set()))
    chosen = {"precision"} if settings.get("precision") == AUTO else set()
    differing = [name for name in shared if settings[name] != identity[name] and name not in chosen]
    if differing:
        faults.append(f"has settings that are not of its fingerprint: {', '.join(differing)}")
    return faults


def count_faults(manifest: dict[str, Any], explained: int, quarantined: int) -> list[str]:
    """Whether a complete run says of itself what its files hold."""
    counts = manifest.get("counts", {})
    if manifest.get("state") != "complete" or not counts:
        return []
    found = {"explained": explained, "quarantined": quarantined}
    return [
        f"says {counts.get(name)} rows are {name}, the files hold {number}"
        for name, number in found.items()
        if counts.get(name) != number
    ]
