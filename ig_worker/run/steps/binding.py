"""What the results of a run are bound to, from the identity in its run.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ig_worker.explain.calibration import Calibration
from ig_worker.explain.precision import FLOAT32, concrete
from ig_worker.run.chunk.records import Binding
from ig_worker.run.identity import fingerprint


def binding_of(identity: Mapping[str, Any]) -> Binding:
    """What the results of a run of this identity are bound to."""
    content = identity.get("calibration")
    calibration = None if content is None else Calibration.of_json(content)
    return Binding(
        fingerprint(identity), int(identity["batch_tokens"]), calibration, identity.get("pilot_digest", ""),
        concrete(identity.get("precision", FLOAT32)),
    )  # fmt: skip
