"""The search for the rows of a chunk that end their process, by halving: pure.

An innocent row must never be blamed, so a seat (a node, or a GPU of one) is not believed by itself. Rows are tried
only on a seat that has done some work since a process last ended there; where it has not, the known-good text goes
first. A row is guilty once it has ended its process twice by itself, on another seat the second time where there is
one, and nothing counts that was seen on a seat that turns out to be sick.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, field

from ig_worker.run.dispatch.policy import FATAL, Action, Outcome

BLAMED = 2  # times that a row alone has to end its process
MAX_DEATHS = 100  # processes that one search may cost
MAX_SETBACKS = 8  # known-good texts that fail in one search: then nothing can be learned


@dataclass(frozen=True)
class Probe:
    """Rows of a chunk that are explained without a commit, to see whether their process survives."""

    chunk: Hashable
    start: int
    stop: int

    def halves(self) -> list[Probe]:
        """The rows in two parts; those of a single row are itself."""
        if self.stop - self.start < 2:
            return [self]
        middle = (self.start + self.stop) // 2
        return [Probe(self.chunk, self.start, middle), Probe(self.chunk, middle, self.stop)]


@dataclass(frozen=True)
class Control:
    """The known-good text, on a seat where a process has ended since it last did any work."""

    chunk: Hashable  # whose search asks for it
    seat: str


Part = Probe | Control


@dataclass
class Search:
    """The search in one chunk.

    Args:
        whole: all of its rows.
    """

    whole: Probe
    open: set[Probe] = field(default_factory=set)  # waiting or running
    deaths: dict[Probe, list[str]] = field(default_factory=dict)  # of single rows: on which seats
    ended: int = 0  # processes
    setbacks: int = 0

    def __post_init__(self) -> None:
        self.open = set(self.begin)

    @property
    def begin(self) -> list[Probe]:
        """What to try first."""
        return self.whole.halves()

    @property
    def guilty(self) -> tuple[int, ...]:
        """Rows that are to blame, as far as is known."""
        return tuple(sorted(probe.start for probe, seats in self.deaths.items() if len(seats) >= BLAMED))

    @property
    def seats(self) -> set[str]:
        """On whose word they are."""
        return {seat for seats in self.deaths.values() for seat in seats}

    @property
    def hopeless(self) -> bool:
        return self.ended > MAX_DEATHS or self.setbacks > MAX_SETBACKS

    def survived(self, probe: Probe) -> None:
        """These rows do not end their process; one that once did so is acquitted."""
        self.open.discard(probe)
        self.deaths.pop(probe, None)

    def died(self, probe: Probe, seat: str) -> list[Probe]:
        """These rows ended their process on a seat that could work; returns what to try next."""
        self.open.discard(probe)
        self.ended += 1
        follow = probe.halves()
        if follow == [probe]:
            seats = self.deaths.setdefault(probe, [])
            seats.append(seat)
            if len(seats) >= BLAMED:
                follow = []
        self.open.update(follow)
        return follow

    def take_back(self, seat: str) -> list[Probe]:
        """Nothing that was seen on a seat counts any more; returns what has to be tried again."""
        again = []
        for probe, seats in self.deaths.items():
            left = [other for other in seats if other != seat]
            if len(left) < BLAMED <= len(seats):
                again.append(probe)
            self.deaths[probe] = left
        self.open.update(again)
        return again


def after_part(part: Part, outcome: Outcome, believed: bool) -> Action:
    """What follows an attempt at some rows, or at the known-good text.

    Args:
        part: what was tried.
        outcome: how that ended.
        believed: whether the word of its seat counts.
    """
    if outcome is Outcome.DONE:
        return Action.FINISH
    if isinstance(part, Probe) and outcome in FATAL and believed:
        return Action.BISECT
    return Action.RETRY  # a worker that raises has found nothing: what it can say of a row, it quarantines by itself


class Searches:
    """The searches in the chunks of a run, and what has come of those that are over.

    Args:
        rows: number of rows of a chunk; None: no row is ever looked for.
    """

    def __init__(self, rows: Callable[[Hashable], int] | None) -> None:
        self.guilty: dict[Hashable, tuple[int, ...]] = {}  # rows of a chunk that end their process
        self._rows = rows
        self._open: dict[Hashable, Search] = {}
        self._accusers: dict[Hashable, set[str]] = {}  # the seats whose failures convicted the rows of a chunk

    @property
    def possible(self) -> bool:
        """Whether anything is known of rows."""
        return self._rows is not None

    def of(self, chunk: Hashable) -> Search | None:
        """The search in a chunk, where one is under way."""
        return self._open.get(chunk)

    def begin(self, chunk: Hashable) -> Search:
        """Look for the rows of a chunk that end their process."""
        assert self._rows is not None
        search = self._open[chunk] = Search(Probe(chunk, 0, self._rows(chunk)))
        return search

    def conclude(self, chunk: Hashable) -> bool:
        """End a search in which nothing is open; returns whether rows are to blame."""
        search = self._open.pop(chunk)
        if search.guilty:
            self.guilty[chunk] = search.guilty
            self._accusers[chunk] = search.seats
        return bool(search.guilty)

    def drop(self, chunk: Hashable) -> bool:
        """Keep nothing of a chunk that is over but its guilty rows; returns whether a search was under way."""
        self._accusers.pop(chunk, None)
        return self._open.pop(chunk, None) is not None

    def take_back(self, seat: str) -> list[list[Probe]]:
        """Nothing that was seen on a seat counts any more; returns what has to be tried again, search by search."""
        return [search.take_back(seat) for search in self._open.values()]

    def acquit(self, seat: str, running: Container[Hashable]) -> list[Hashable]:
        """Take back the verdicts that rest on a seat's word, of chunks that do not run; returns the chunks."""
        chunks = [chunk for chunk, seats in self._accusers.items() if seat in seats and chunk not in running]
        for chunk in chunks:
            del self._accusers[chunk], self.guilty[chunk]
        return chunks
