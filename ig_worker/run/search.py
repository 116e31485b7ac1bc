"""The search for the rows of a chunk that end their process, by halving: pure.

`driver` does not ask for it yet. With one bad device among several, or one bad GPU on a node, it could blame innocent
rows: a row should be guilty only if it died on two devices, or on one that did other work between its two deaths.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

BLAMED = 2  # times that a row alone has to end its process


@dataclass(frozen=True)
class Probe:
    """Rows of a chunk that are explained without a commit, to see whether their process survives."""

    chunk: Hashable
    start: int
    stop: int

    def halves(self) -> tuple[Probe, Probe]:
        middle = (self.start + self.stop) // 2
        return Probe(self.chunk, self.start, middle), Probe(self.chunk, middle, self.stop)


@dataclass
class Search:
    """The search for the rows of a chunk that end their process."""

    left: int  # probes that wait or run
    nodes: set[str]  # on which the chunk or its probes ended a process
    survived: bool = False  # any probe: then it is not the node that ends them all
    deaths: dict[int, int] = field(default_factory=dict)  # of rows by themselves
    guilty: list[int] = field(default_factory=list)

    @property
    def believed(self) -> bool:
        """A sick device must not quarantine the data: two nodes have to say so, or one that can do other work."""
        return self.survived or len(self.nodes) > 1

    def report(self, probe: Probe, fatal: bool, node: str) -> list[Probe]:
        """Enter how a probe ended; returns those that follow from it."""
        self.left -= 1
        if not fatal:
            self.survived = True
            return []
        self.nodes.add(node)
        if probe.stop - probe.start > 1:
            self.left += 2
            return list(probe.halves())
        deaths = self.deaths[probe.start] = self.deaths.get(probe.start, 0) + 1
        if deaths < BLAMED:
            self.left += 1
            return [probe]
        self.guilty.append(probe.start)
        return []


def probes(task: Hashable, chunk: Hashable) -> bool:
    return isinstance(task, Probe) and task.chunk == chunk
