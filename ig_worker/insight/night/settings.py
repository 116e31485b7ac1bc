"""The settings of a night, and how one went."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from ig_worker.errors import UsageError
from ig_worker.insight.compare.summary import Comparison
from ig_worker.insight.night.rules import GOOD
from ig_worker.run.setting import setting

UNFINISHED = ("resume", "anew")


@dataclass(frozen=True)
class NightConfig:
    """The table `[night]` of a night's configuration."""

    runs: str = setting("", "folder of the runs, a path or URI that all nodes share", "everyday")
    line: str = setting("", "model line: runs of one line are compared with each other and named after it", "everyday")
    unfinished: str = setting(
        "resume", "what to do about a night that did not come to its end", "limits", choices=UNFINISHED
    )
    keep: int = setting(14, "runs of the line that are kept; the last good one always is", "limits")
    deadline: float | None = setting(None, "end the night cleanly after this, in seconds", "limits", kind=float)
    evaluate: bool = setting(
        True, "also measure how faithful the attributions are, with the settings of [evaluate]", "everyday"
    )
    examples: int = setting(12, "texts shown in full in the report", "everyday")
    webhook: str | None = setting(None, "URL that the summary is posted to, as Slack takes it", "alerts", kind=str)
    webhook_env: str | None = setting(
        None, "environment variable with that URL, which is often a secret", "alerts", kind=str
    )
    heartbeat: str | None = setting(None, "URL that is called when a night has come to its end", "alerts", kind=str)
    heartbeat_env: str | None = setting(None, "environment variable with that URL", "alerts", kind=str)

    def check(self) -> None:
        """Raise UsageError for a value that cannot be right."""
        if self.keep < 1:
            raise UsageError(f"[night] keep is {self.keep}", expected="at least 1")
        if "/" in self.line or not self.line.strip():
            raise UsageError(f"[night] line is {self.line!r}", expected="a name without slashes")
        for name in ("webhook", "heartbeat"):
            variable = getattr(self, f"{name}_env")
            if variable and not os.environ.get(variable):
                raise UsageError(
                    f"[night] {name}_env names {variable}, which is not set", remedy="set it, or leave it out"
                )

    def url(self, name: str) -> str | None:
        """Where `webhook` or `heartbeat` is."""
        variable = getattr(self, f"{name}_env")
        return os.environ[variable] if variable else getattr(self, name)


@dataclass
class Night:
    """How a night went; the result of a step that it has not reached is None."""

    run: str
    exit_code: int = 0
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what went wrong without changing the exit code
    seconds: dict[str, float] = field(default_factory=dict)  # by step
    lines: list[str] = field(default_factory=list)  # what the steps have to say
    comparison: Comparison | None = None
    findings: list[str] = field(default_factory=list)  # a line each, what costs most first
    report: str | None = None
    removed: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        how = "went well" if self.exit_code in GOOD else "FAILED"
        head = [f"night {self.run} {how} (exit {self.exit_code})", *(f"  {reason}" for reason in self.reasons)]
        head += [f"  warning: {warning}" for warning in self.warnings]
        times = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in self.seconds.items())
        return "\n".join([*head, *self.lines, f"time         {times}"])

    def record(self) -> dict[str, Any]:
        """For programs: the key `night` of RUN/summary.json."""
        found = asdict(self)
        found.pop("lines")
        return found | {"text": self.text()}
