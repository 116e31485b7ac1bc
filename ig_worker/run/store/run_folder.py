"""A folder of runs, such as a night's after the other's: what is there, where, and the removal of one."""

from __future__ import annotations

from collections.abc import Iterator

from ig_worker.errors import IgWorkerError
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.run_files import MANIFEST, SUMMARY
from ig_worker.run.store.run_store import RunStore

COMPLETE = "complete"


class Shelf:
    """Runs side by side.

    Args:
        place: the folder, a path or URI.
    """

    def __init__(self, place: str) -> None:
        self.storage = Storage(place)
        self._place = place

    def place_of(self, name: str) -> str:
        """The --run of one."""
        if "://" not in self._place:
            return f"{self._place.rstrip('/')}/{name}"
        path, query, options = self._place.partition("?")
        return f"{path.rstrip('/')}/{name}{query}{options}"

    def names(self) -> list[str]:
        """Of all that may be a run."""
        return self.storage.folders()

    def ends(self, names: list[str]) -> Iterator[tuple[str, bool, int | None]]:
        """(name, whether it is complete, exit code of its night) of each; a damaged one counts as unfinished."""
        for name in names:
            store = RunStore(self.place_of(name))
            try:
                manifest = store.manifest.read()
                night = store.summary.read().get("night", {})
            except IgWorkerError:
                manifest, night = {}, {}
            complete = (manifest or {}).get("state") == COMPLETE
            code = night.get("exit_code") if isinstance(night, dict) else None
            yield name, complete, code if isinstance(code, int) else None

    def remove(self, name: str) -> None:
        """Remove a run. Its manifest goes first: what a crash leaves is no run for anybody."""
        for file in (MANIFEST, SUMMARY):
            self.storage.delete(f"{name}/{file}")
        self.storage.delete_folder(name)
