"""The frozen configurations of what works on a run's results, apart from that of the run itself."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ig_worker.errors import UsageError
from ig_worker.explain.perturb import REPLACEMENTS, Grid
from ig_worker.run.config import ActorSettings, ExplainConfig, actor_range
from ig_worker.run.setting import above_zero, at_least, setting


def _as_in_explain(name: str) -> Any:
    """A setting of another job that means the same there."""
    known = ExplainConfig.__dataclass_fields__[name]
    return field(default=known.default, metadata=known.metadata)


NONE = "none"  # of actors: in the driver's own process


@dataclass(frozen=True)
class ApplyConfig:
    """Who computes what is computed from results, chunk by chunk; see `map_chunks`."""

    actors: str = setting(
        "auto", "number of Ray actors, MIN:MAX, or none; auto: none where the run is small", "cluster"
    )
    address: str | None = _as_in_explain("address")

    def actor_settings(self) -> ActorSettings:
        """Who computes, where that is not this process; fewer than MIN actors come to an end, too."""
        return ActorSettings(actors=self.actors.rpartition(":")[2], address=self.address)

    def check(self) -> None:
        """Raise UsageError for a value that cannot be right."""
        if self.actors != NONE:
            actor_range(self.actors, default=1)
        elif self.address is not None:
            raise UsageError(f"--actors is none with --address {self.address}", expected="one of them only")


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that jobs.evaluate can be told. A text costs about 45 forward passes without the baselines."""

    share: float = setting(0.05, "share of the rows that are evaluated, chosen by their ids, above 0 to 1", "everyday")
    baselines_share: float = setting(
        0.005, "share of all rows also ranked by gradient times input and by occlusion", "method"
    )
    replace: str = setting("mask", "what takes the place of a token; delete: nothing", "everyday", choices=REPLACEMENTS)
    fractions: str = setting(
        "0.01,0.05,0.1,0.2,0.5", "fractions of the ordinary tokens that are taken, at least one", "method"
    )
    curve_steps: int = setting(10, "parts of the deletion and insertion curves, for their areas", "method")
    occlusion_tokens: int = setting(
        512, "no occlusion of texts with more ordinary tokens: it costs a forward pass for each", "method"
    )
    model: str | None = setting(
        None, "where the run's model is now; none: where it was", "everyday", identity=False, kind=str
    )
    actors: str = _as_in_explain("actors")
    address: str | None = _as_in_explain("address")
    gpus_per_actor: float | None = _as_in_explain("gpus_per_actor")
    deadline: float | None = _as_in_explain("deadline")
    chunk_timeout: float | None = _as_in_explain("chunk_timeout")

    def grid(self) -> Grid:
        """Where curves are computed.

        Raises:
            UsageError: `fractions` are none.
        """
        try:
            fractions = tuple(float(part) for part in self.fractions.split(","))
        except ValueError:
            fractions = ()
        if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
            raise UsageError(
                f"--fractions is {self.fractions!r}", expected="numbers above 0 and at most 1, such as 0.05,0.1"
            )
        return Grid(tuple(sorted(set(fractions))), self.curve_steps)

    def actor_settings(self, cpus_per_actor: int = 1) -> ActorSettings:
        """Who evaluates, with the CPU threads that the run's actors had."""
        return ActorSettings(cpus_per_actor=cpus_per_actor, **{name: getattr(self, name) for name in _OF_ACTORS})

    def check(self) -> None:
        """Raise UsageError for a value that cannot be right, before anything starts."""
        if not 0 < self.share <= 1:
            raise UsageError(f"--share is {self.share}", expected="a share above 0, at most 1")
        if not 0 <= self.baselines_share <= self.share:
            raise UsageError(f"--baselines-share is {self.baselines_share}", expected=f"0 to --share ({self.share})")
        at_least("curve_steps", self.curve_steps, 1)
        at_least("occlusion_tokens", self.occlusion_tokens, 0)
        self.grid()
        above_zero("deadline", self.deadline)
        self.actor_settings().check()

    def identity(self) -> dict[str, Any]:
        """The settings that decide the numbers; others may change when an evaluation is resumed."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["identity"]}
        return {**own, "fractions": list(self.grid().fractions)}


_OF_ACTORS = ("actors", "address", "gpus_per_actor", "chunk_timeout")


def actors_of(explain: ExplainConfig) -> dict[str, Any]:
    """Settings of an `EvaluateConfig` for the actors and the place that a run was explained with."""
    return {name: value for name in _OF_ACTORS if (value := getattr(explain, name)) is not None}
