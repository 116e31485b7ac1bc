"""One night: explain, verify, aggregate, evaluate, compare with the run before, report, and say how it went.

What the evaluation has to say is worth less than a night: where it fails, or the deadline comes, the summary warns.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ig_worker.errors import (
    EXIT_DAMAGED,
    EXIT_STOPPED,
    EXIT_THRESHOLD,
    IgWorkerError,
    RunMismatchError,
    RunStoppedError,
)
from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.compare.summary import Comparison
from ig_worker.insight.findings.check import headline
from ig_worker.insight.findings.find import find
from ig_worker.insight.night.notify import ping, post
from ig_worker.insight.night.rules import GOOD, Earlier, RunName, choose, compared_with, following, to_remove
from ig_worker.insight.night.settings import Night, NightConfig
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.insight.tables.faithfulness import faithfulness_lines, write_faithfulness
from ig_worker.insight.tables.summary import RunSummary, summarise
from ig_worker.insight.thresholds import Found, Thresholds, crossed, without_meaning
from ig_worker.run import logs
from ig_worker.run.config import ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.later_config import ApplyConfig, EvaluateConfig, actors_of
from ig_worker.run.steps.evaluate import measure_faithfulness
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_folder import Shelf
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import LABELS

log = logging.getLogger(__name__)

_TOLD = 3  # findings in the summary


def run_night(
    config: NightConfig,
    explain: ExplainConfig,
    limits: Thresholds,
    tell: Callable[[str], None] = print,
    today: datetime.date | None = None,
    evaluate: EvaluateConfig | None = None,
    deadline: Deadline | None = None,
) -> Night:
    """One night from start to end. Nothing is raised for what goes wrong with it: the result carries the exit code.

    Args:
        config: of the night.
        explain: of the run.
        limits: a night that is not within them ends with exit code 6.
        tell: told what the night is at.
        today: the date of a new run; None is today's in UTC.
        evaluate: of the evaluation; None: with the actors of `explain`, else the defaults.
        deadline: when explaining, and evaluating, have to be over; None is the configuration's, from now on.
    """
    config.check()
    deadline = deadline or Deadline(config.deadline)
    evaluate = evaluate or EvaluateConfig(**actors_of(explain))
    if config.evaluate:
        evaluate.check()
    shelf = Shelf(config.runs)
    today = today or datetime.datetime.now(datetime.UTC).date()
    name = choose(config.line, today, _earlier(shelf, config.line), resume=config.unfinished == "resume")
    night = Night(str(name))
    from ig_worker.run.dispatch.cluster import kept  # Ray takes a second to import

    with _caught(night), kept():
        night.run = str(name := _explain(night, shelf, name, explain, today, tell, deadline))
        with logs.about(run=night.run):
            of_run = replace(evaluate, model=evaluate.model or explain.model)
            _look(night, shelf, name, config, of_run, explain.address, limits, deadline, tell)
    _record(night, shelf, name)
    _retire(night, shelf, name, config)
    _notify(night, config)
    return night


@contextmanager
def _caught(night: Night) -> Iterator[None]:
    """What goes wrong in here ends the night's work, and gives it an exit code and a reason."""
    try:
        yield
    except IgWorkerError as error:
        night.exit_code = error.exit_code
        night.reasons.append(str(error))
    except (KeyboardInterrupt, SystemExit):  # Ray's own handler of signals, while it starts, raises the latter
        night.exit_code = EXIT_STOPPED
        night.reasons.append("interrupted; start it again to go on")
    except Exception as error:  # a fault of ours: who waits for the night has to hear of it all the same
        log.debug("the night failed", exc_info=True)
        night.exit_code = EXIT_STOPPED
        night.reasons.append(logs.unexpected(error))


def _earlier(shelf: Shelf, line: str) -> list[Earlier]:
    names = {text: name for text in shelf.names() if (name := RunName.parse(text, line))}
    return [Earlier(names[text], complete, code) for text, complete, code in shelf.ends(list(names))]


@contextmanager
def _step(night: Night, step: str, tell: Callable[[str], None]) -> Iterator[None]:
    tell(f"== {step}")
    begun = time.monotonic()
    try:
        yield
    finally:
        night.seconds[step] = round(night.seconds.get(step, 0.0) + time.monotonic() - begun, 1)


def _explain(
    night: Night,
    shelf: Shelf,
    name: RunName,
    explain: ExplainConfig,
    today: datetime.date,
    tell: Callable[[str], None],
    deadline: Deadline,
) -> RunName:
    """Explain; returns the name of the run, which is a new one where the old one was made otherwise."""
    deadline = deadline.sooner(explain.deadline)
    with _step(night, f"explain {name}", tell), logs.about(run=str(name)):
        try:
            result = explain_run(shelf.place_of(str(name)), explain, deadline)
        except RunMismatchError as error:
            name = following(name, today)
            tell(f"{error}; a new run is begun: {name}")
            result = explain_run(shelf.place_of(str(name)), explain, deadline)
    night.exit_code = result.exit_code
    night.reasons += [result.fault] if result.fault else []
    night.lines += result.lines()
    return name


def _look(
    night: Night,
    shelf: Shelf,
    name: RunName,
    config: NightConfig,
    evaluate: EvaluateConfig,
    address: str | None,
    limits: Thresholds,
    deadline: Deadline,
    tell: Callable[[str], None],
) -> None:
    """Everything after the explaining. Only steps that may wait for actors keep the deadline; others take minutes."""
    store = RunStore(shelf.place_of(str(name)))
    with _step(night, "verify", tell):
        verification = verify_run(store)
    if verification.faults:
        night.exit_code = EXIT_DAMAGED
        night.reasons += verification.lines(5)
        return
    with _step(night, "aggregate", tell):
        quarantined = store.results.quarantined().num_rows
        summary = summarise(aggregate(store, None, ApplyConfig(address=address), deadline), quarantined)
    night.lines += summary.lines()
    if config.evaluate:
        with _step(night, "evaluate", tell):
            _evaluate(night, store, evaluate, deadline)
    before = compared_with(name, _earlier(shelf, config.line))
    if before is not None:
        with _step(night, "compare", tell):
            night.comparison = write_comparison(store, RunStore(shelf.place_of(str(before))))
        night.lines += night.comparison.lines()
    with _step(night, "findings", tell):
        earlier = None if before is None else RunStore(shelf.place_of(str(before)))
        _find(night, store, ApplyConfig(address=address), deadline, earlier)
    with _step(night, "report", tell):
        night.report = write_report(store, config.examples)
    night.lines.append(f"report       {night.report}")
    _judge(night, summary, limits)


def _find(night: Night, store: RunStore, config: ApplyConfig, deadline: Deadline, before: RunStore | None) -> None:
    """What to look at first. What goes wrong with it is a warning: the report looks for itself then."""
    try:
        found = find(store, None, config, deadline, before)
    except IgWorkerError as error:
        night.warnings.append(f"findings are not known: {error}")
        return
    night.findings = [headline(one).strip() for one in found]
    night.lines += [f"finding      {one.number} {one.title}: {one.sentence}" for one in found[:_TOLD]]
    if len(found) > _TOLD:
        night.lines.append(f"finding      and {len(found) - _TOLD} more: jobs.findings {store.place}")
    if not found:
        night.lines.append("finding      nothing stands out beyond chance")


def _judge(night: Night, summary: RunSummary, limits: Thresholds) -> None:
    """Hold what was found against the limits."""
    found = Found(
        accuracy=summary.accuracy,
        quarantined=summary.quarantined / (summary.rows + summary.quarantined),
        converged=summary.converged,
        drift=night.comparison.drift if night.comparison else None,
        f1=summary.f1,
        error=summary.error,
    )
    night.warnings += without_meaning(limits, summary.outputs)
    reasons = crossed(found, limits)
    if reasons:
        night.exit_code = night.exit_code if night.exit_code == EXIT_DAMAGED else EXIT_THRESHOLD
        night.reasons += reasons + _suspects(night.comparison)


def _evaluate(night: Night, store: RunStore, config: EvaluateConfig, deadline: Deadline) -> None:
    """Measure faithfulness. What goes wrong with it is a warning: the night has its results by now."""
    try:
        if deadline.left <= 0:
            raise RunStoppedError(deadline.error().what, remedy="jobs.evaluate on the run makes up for it")
        measure_faithfulness(store.uri, config, deadline.sooner(config.deadline))
        night.lines += faithfulness_lines(write_faithfulness(store, config))
    except IgWorkerError as error:
        night.warnings.append(f"faithfulness is not known: {error}")
    except Exception as error:
        log.debug("the evaluation failed", exc_info=True)
        night.warnings.append(f"faithfulness is not known: {logs.unexpected(error)}")


def _suspects(comparison: Comparison | None) -> list[str]:
    """What has changed most since the run before: where to look first."""
    if comparison is None:
        return []
    fallen = [change for change in comparison.classes if change.now < change.before - 0.05]
    return [
        f"{'label' if comparison.outputs == LABELS else 'class'} {change.label}: {change.before:.1%} of its rows were "
        f"right before, {change.now:.1%} are now"
        for change in sorted(fallen, key=lambda change: change.now - change.before)
    ]


def _record(night: Night, shelf: Shelf, name: RunName) -> None:
    """Write the night into RUN/summary.json and RUN/summary.txt, where there is a run."""
    store = RunStore(shelf.place_of(str(name)))
    try:
        if store.manifest.read() is None:
            return
        summary = store.summary.read() | {"exit_code": night.exit_code, "night": night.record()}
        if night.reasons:
            summary["reason"] = "; ".join(night.reasons)
        store.summary.write(summary)
        store.write_text("summary.txt", night.text() + "\n")
    except IgWorkerError as error:
        log.warning("the night's end could not be recorded: %s", error)


def _retire(night: Night, shelf: Shelf, name: RunName, config: NightConfig) -> None:
    """Remove the runs that are no longer kept; a night that did not come to its end removes nothing."""
    if night.exit_code not in GOOD:
        return
    try:
        for old in to_remove(_earlier(shelf, config.line), config.keep, also=[name]):
            shelf.remove(str(old))
            night.removed.append(str(old))
    except IgWorkerError as error:
        log.warning("an old run could not be removed: %s", error)


def _notify(night: Night, config: NightConfig) -> None:
    webhook, heartbeat = config.url("webhook"), config.url("heartbeat")
    if webhook:
        post(webhook, {"text": night.text()})
    if heartbeat and night.exit_code in (*GOOD, EXIT_THRESHOLD):  # it has run, whatever it has found
        ping(heartbeat)
