"""The pilot of a run: how many rows it has, what of an earlier start is kept, and the step itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ig_worker.errors import RunStoppedError
from ig_worker.explain.calibration import CAUTIOUS
from ig_worker.explain.methods import ADAPTIVE
from ig_worker.explain.pilot_plan import worth
from ig_worker.explain.precision import AUTO, FLOAT32, concrete
from ig_worker.run import logs
from ig_worker.run.chunk.pilot import PilotRecord
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch.executor import Crew
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.runner import Step, work_through
from ig_worker.run.progress import meter
from ig_worker.run.steps.explain_state import ActiveRun
from ig_worker.run.steps.pilot_size import rows_of_pilot

CALIBRATION, DIGEST, PRECISION = "calibration", "pilot_digest", "precision"
_MEASURED = ("batch_tokens", CALIBRATION, DIGEST)


def with_measured(
    config: ExplainConfig, asked: Mapping[str, Any], manifest: Mapping[str, Any], committed: bool
) -> dict[str, Any]:
    """The identity that is asked for, with what the run has measured before; None where that is still to be done.

    Args:
        config: of this start.
        asked: its identity, without anything that is measured.
        manifest: what run.json says.
        committed: whether there are results; before, the settings may change, and with them what was measured.
    """
    before = manifest.get("identity", {})
    identity = {**asked, "batch_tokens": config.batch_tokens}
    if config.method == ADAPTIVE:
        identity |= {CALIBRATION: None, DIGEST: ""}
    else:  # nobody measures it
        identity[PRECISION] = concrete(config.precision)
    chosen = before.get(PRECISION, FLOAT32) if _was_auto(config, manifest) else None
    given = {
        name: value for name, value in identity.items() if name not in _MEASURED or (name == "batch_tokens" and value)
    }
    if chosen:
        given[PRECISION] = chosen
    same = all(before.get(name) == value for name, value in given.items())
    if committed or (same and not manifest.get("pilot", {}).get("failed")):
        identity |= {name: before[name] for name in (CALIBRATION, DIGEST) if name in before and name in identity}
        identity |= {PRECISION: chosen} if chosen else {}
    if (committed or identity.get(CALIBRATION)) and not config.batch_tokens:
        identity["batch_tokens"] = before.get("batch_tokens", 0)
    return identity


def _was_auto(config: ExplainConfig, manifest: Mapping[str, Any]) -> bool:
    """Whether the precision is the pilot's to choose, and the one in run.json is by its choice."""
    asked = config.method == ADAPTIVE and config.precision == AUTO
    return asked and bool(manifest.get("config", {}).get(PRECISION) == AUTO)


def look_for_rows(run: ActiveRun) -> None:
    """Find out whether the rows of an earlier pilot are still there; where they are not, they are explained again."""
    digest = run.identity.get(DIGEST, "")
    run.has_pilot = bool(digest) and run.store.pilot.read(digest) is not None
    if digest and run.todo and not run.has_pilot:
        logs.tell("the rows of the pilot are gone: they are explained again, as all others", logging.WARNING)


def run_pilot(run: ActiveRun, crew: Crew) -> None:
    """Let the first actor that is ready explain some rows, and fix what all others go by, once in the life of the run.

    Where that ends its process again and again the run goes on with what suits most networks, and promises nothing.
    """
    count = rows_of_pilot(run.config, run.prepared.rows)
    if not count:
        run.calibrate(PilotRecord(CAUTIOUS), {})
        return
    ledger = Ledger(["pilot"])
    rows_each = run.prepared.rows // max(1, crew.actors)
    step = Step(order=lambda _: ("pilot", count, run.binding, rows_each), failed="the pilot failed")
    try:
        with meter("pilot, reviews", count) as shown:

            def look() -> None:
                run.check()
                work = f"one actor is at it, as much work as with {worth(count)} others"
                shown.update(0, work if crew.ready else "waiting for the first actor")

            for event in work_through(crew, ledger, step, look):
                shown.update(event.record.rows)
                run.calibrate(event.record, _told(event.record))
        if run.identity[PRECISION] != FLOAT32:
            logs.tell(f"precision: {run.manifest['precision']['reason']}")
    except RunStoppedError as error:
        if not ledger.given_up:  # a deadline, or another driver
            raise
        logs.tell(f"{error}: the run goes on without a pilot, and promises nothing", logging.WARNING)
        run.calibrate(PilotRecord(CAUTIOUS), {"rows": 0, "certified": None, "failed": str(error)})


def _told(record: PilotRecord) -> dict[str, Any]:
    """What run.json says of a pilot."""
    return {
        "rows": record.rows,
        "certified": record.calibration.certified,
        "evaluations": record.evaluations,
        "seconds": round(record.seconds, 3),
    }
