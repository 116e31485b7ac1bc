"""The folder of an export: whose it is, and whether it is whole.

`export.json` is written before anything else, with the state "writing", and again last of all, with the state
"complete". It also says that the folder is an export's, which may be written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from fnmatch import fnmatch
from typing import IO, Any

from ig_worker import __version__
from ig_worker.errors import UsageError
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.streamed import delete_unfinished, streamed

MARKER = "export.json"
WRITING, COMPLETE = "writing", "complete"

_MAKER = "ig-worker"
_ENDINGS = (".csv", ".jsonl", ".json", ".arrow", ".parquet", ".spec")


class Folder:
    """The folder of an export.

    Args:
        place: a path or URI.
        format: of the export.

    Raises:
        UsageError: the place looks like a file's, or cannot be understood.
    """

    def __init__(self, place: str, format: str) -> None:
        if place.endswith(_ENDINGS):
            raise UsageError(f"--out is {place}, which looks like a file", expected="a folder, which may be new")
        self._storage = Storage(place)
        self.place = self._storage.place
        self._format = format

    def begin(self, own: Iterable[str], told: Mapping[str, Any], overwrite: bool) -> None:
        """Make it the folder of an unfinished export.

        Args:
            own: patterns of the names of the export's files, those without which it is none first. What an earlier
                export has left of them is removed.
            told: what `MARKER` is to say.
            overwrite: whether a folder is taken that is not an earlier export's of this format.

        Raises:
            UsageError: it is another's.
        """
        names = self._storage.list("")
        if not overwrite:
            self._require_own(names)
        self._mark(WRITING, told)
        for pattern in own:
            for name in names:
                if fnmatch(name, pattern):
                    self._storage.delete(name)
        delete_unfinished(self._storage)

    def finish(self, told: Mapping[str, Any]) -> None:
        """Say that everything is there; `told` is what `MARKER` is to say."""
        self._mark(COMPLETE, told)

    def stream(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file to write to, which is there when the block has ended; see `streamed`."""
        return streamed(self._storage, name)

    def write(self, name: str, data: bytes) -> None:
        """A small file, in one step."""
        self._storage.write(name, data)

    def _require_own(self, names: list[str]) -> None:
        found = self._maker()
        if found == (_MAKER, self._format) or not (names or self._storage.folders()):
            return
        holds = f"holds an export as {found[1]}" if found[0] == _MAKER else "is not empty, and no export's"
        raise UsageError(
            f"{self.place} {holds}",
            expected=f"a new or empty folder, or an earlier export's as {self._format}",
            remedy="give another --out, or --overwrite to write into it all the same",
        )

    def _maker(self) -> tuple[str, str]:
        """Who has written the folder, and in which format, as `MARKER` says."""
        try:
            found = json.loads(self._storage.read(MARKER) or b"{}")
            return str(found.get("made_by", "")).partition(" ")[0], str(found.get("format"))
        except (ValueError, AttributeError, RecursionError):
            return "", ""

    def _mark(self, state: str, told: Mapping[str, Any]) -> None:
        content = {"made_by": f"{_MAKER} {__version__}", "format": self._format, "state": state, **told}
        self.write(MARKER, json.dumps(content, indent=2).encode() + b"\n")
