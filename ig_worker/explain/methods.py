"""What `--method` and `--engine` name: which engine, which settings it reads, and whether their values can be right.

A new method is one more entry in `METHODS`. Nothing here imports TensorFlow or alibi until an engine is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ig_worker.errors import UsageError
from ig_worker.explain.in_tf32 import in_precision
from ig_worker.explain.precision import FLOAT32, concrete
from ig_worker.explain.product import LEAST_EVALUATIONS, LEAST_TOLERANCE
from ig_worker.explain.rules import RULES, check_rule, fixed_rule

if TYPE_CHECKING:
    from ig_worker.explain.calibration import Calibration
    from ig_worker.explain.packing import BatchShape
    from ig_worker.explain.paths import PathPrograms
    from ig_worker.explain.problems import Engine
    from ig_worker.models.classifier import Classifier

ADAPTIVE = "adaptive"
FUSED, ALIBI = "fused", "alibi"
AUTO = "auto"
ENGINES = (FUSED, ALIBI)


class Settings(Protocol):
    """What engines are told; a run's configuration has these, and more."""

    @property
    def engine(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def n_steps(self) -> int: ...
    @property
    def tolerance(self) -> float: ...
    @property
    def max_evaluations(self) -> int: ...
    @property
    def risk(self) -> float: ...
    @property
    def pilot(self) -> str: ...
    @property
    def layer(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def keep_hidden(self) -> bool: ...


@dataclass(frozen=True)
class Known:
    """What an engine may be given besides.

    Args:
        calibration: what a pilot has found, for `adaptive`; None: what goes without one.
        programs: of the same network in the same precision, without hidden attributions, for `adaptive`; they need
            not be traced again.
        lanes: groups of texts that `adaptive` works on at a time; 0: as many as suit the device.
    """

    calibration: Calibration | None = None
    programs: PathPrograms | None = None
    lanes: int = 0


@dataclass(frozen=True)
class Method:
    """One way to integrate.

    Args:
        reads: the settings that only some methods read, of which this one reads these.
        check: raises UsageError where their values cannot be right.
        engines: how each engine that has this method is built, by the engine's name.
        version: of its decisions, where they are ours to make and not a rule's: it rises when the same settings give
            other numbers, so that no run has chunks of both.
    """

    reads: tuple[str, ...]
    check: Callable[[Settings], None]
    engines: Mapping[str, Callable[[Settings, Classifier, BatchShape, Known], Engine]]
    version: str = ""


def check_method(settings: Settings, defaults: Mapping[str, Any]) -> None:
    """Raise UsageError where engine, method and what they read do not go together.

    Args:
        settings: to be checked.
        defaults: of each setting that only some methods read: a value that nothing reads is a misunderstanding.
    """
    if settings.method not in METHODS:
        raise UsageError(f"--method is {settings.method!r}", expected=f"one of {', '.join(METHODS)}")
    method = METHODS[settings.method]
    if settings.engine not in method.engines:
        raise UsageError(
            f"--engine {settings.engine} has no method {settings.method}",
            expected="a fixed rule",
            remedy="add --method gausslegendre",
        )
    for name in UNSHARED:
        if name not in method.reads and getattr(settings, name) != defaults[name]:
            other = next(key for key, one in METHODS.items() if name in one.reads)
            flag, value = name.replace("_", "-"), getattr(settings, name)
            raise UsageError(
                f"--{flag} is {value}, which --method {settings.method} does not read",
                remedy=f"add --method {other}",
            )
    method.check(settings)
    if settings.engine == ALIBI and concrete(settings.precision) != FLOAT32:
        raise UsageError(f"--precision is {settings.precision}", expected="float32 with --engine alibi")


def unread(method: str) -> set[str]:
    """The settings that other methods read, and this one, known or not, does not: they decide nothing."""
    return set(UNSHARED) - set(METHODS[method].reads if method in METHODS else ())


def version(method: str) -> str:
    """Of a method's decisions; empty where a formula makes them all, or nobody knows the method."""
    return METHODS[method].version if method in METHODS else ""


def build_engine(
    settings: Settings, classifier: Classifier, shape: BatchShape, *, known: Known | None = None
) -> Engine:
    """The engine of a method, for a network.

    Args:
        settings: that `check_method` has passed.
        classifier: the network.
        shape: how batches are cut.
        known: what need not be found out again; None: nothing.
    """
    engine = METHODS[settings.method].engines[settings.engine](settings, classifier, shape, known or Known())
    return in_precision(engine, settings.precision)


def _check_adaptive(settings: Settings) -> None:
    if not LEAST_TOLERANCE <= settings.tolerance <= 1:
        raise UsageError(f"--tolerance is {settings.tolerance}", expected=f"{LEAST_TOLERANCE:g} to 1")
    if settings.max_evaluations < LEAST_EVALUATIONS:
        raise UsageError(f"--max-evaluations is {settings.max_evaluations}", expected=f"at least {LEAST_EVALUATIONS}")
    if not 0 < settings.risk < 1:  # nan is not either
        raise UsageError(f"--risk is {settings.risk}", expected="a share above 0 and below 1")
    if settings.pilot != AUTO and not (settings.pilot.isdecimal() and len(settings.pilot) < 10):
        raise UsageError(f"--pilot is {settings.pilot!r}", expected="auto, or a number of rows; 0 for none")


def _adaptive(settings: Settings, classifier: Classifier, shape: BatchShape, given: Known) -> Engine:
    from ig_worker.explain.adaptive import AdaptiveEngine
    from ig_worker.explain.calibration import CAUTIOUS
    from ig_worker.models.runtime import lanes

    network = classifier.split(settings.layer, settings.precision)
    tolerance, most, known = settings.tolerance, settings.max_evaluations, given.calibration or CAUTIOUS
    programs = None if settings.keep_hidden else given.programs
    return AdaptiveEngine(
        network, tolerance, most, shape,
        keep_hidden=settings.keep_hidden, programs=programs, calibration=known, lanes=given.lanes or lanes(),
    )  # fmt: skip


def _check_fixed(name: str, settings: Settings) -> None:
    check_rule(name, settings.n_steps)


def _fused(settings: Settings, classifier: Classifier, shape: BatchShape, _: Known) -> Engine:
    from ig_worker.explain.fused import FusedEngine

    network = classifier.split(settings.layer, settings.precision)
    return FusedEngine(network, fixed_rule(settings.method, settings.n_steps), shape, keep_hidden=settings.keep_hidden)


def _alibi(settings: Settings, classifier: Classifier, shape: BatchShape, _: Known) -> Engine:
    from ig_worker.explain.reference import AlibiEngine  # which groups texts by itself: alibi holds whole paths

    hidden = settings.keep_hidden
    return AlibiEngine(classifier, settings.layer, settings.method, settings.n_steps, keep_hidden=hidden)


METHODS: dict[str, Method] = {
    ADAPTIVE: Method(("tolerance", "max_evaluations", "risk", "pilot"), _check_adaptive, {FUSED: _adaptive}, "4"),
    **{name: Method(("n_steps",), partial(_check_fixed, name), {FUSED: _fused, ALIBI: _alibi}) for name in RULES},
}
UNSHARED = tuple(dict.fromkeys(name for method in METHODS.values() for name in method.reads))
