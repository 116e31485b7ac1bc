"""The scratch folder of a training, ``.OUT.training`` beside ``--out``: what a killed one resumes from.

    state.json        the settings that the training was begun with; texts whose features are on disk
    checkpoint.npz    variables of network, optimizer and dropout; the loss of every step
    features.npy      of a frozen encoder (see `models.features`)
    model/            the finished directory, before it is renamed to `--out`

Every file but the features is replaced in one step, so that a kill at any instant leaves the last good one.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.errors import RunMismatchError, StorageError

OnStep = Callable[[str, int, int, str], None]  # what is being done, how much of it is, of how much, a note


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    losses: tuple[float, ...] = ()  # one for each step done
    seconds: float = 0.0  # spent on them

    @property
    def step(self) -> int:
        return len(self.losses)


class Scratch:
    """The scratch folder of the training that will make the directory `target`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.with_name(f".{target.name}.training")
        self.features = self.folder / "features.npy"
        self.model = self.folder / "model"
        self._state = self.folder / "state.json"
        self._checkpoint = self.folder / "checkpoint.npz"

    def bytes_used(self) -> int:
        """Bytes that the folder already takes on disk; a file with holes counts only what is written."""
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        return sum(path.stat().st_blocks * 512 for path in files if path.is_file())

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, or take up the one that a training with the same settings left.

        Raises:
            RunMismatchError: there is progress of a training with other settings.
            StorageError: the folder cannot be made, or its files cannot be used.
        """
        kept = self._read_state()
        settings = json.loads(json.dumps(settings))
        if kept is not None and kept["settings"] != settings:
            if kept["feature_rows"] or self._checkpoint.exists():
                raise _mismatch(self.folder, kept["settings"], settings)
            kept = None
        if kept is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            with write_faults(self.folder):
                self.folder.mkdir(parents=True)
            self._write_state({"settings": settings, "feature_rows": 0})

    @property
    def feature_rows(self) -> int:
        """Texts whose features are completely on disk."""
        state = self._read_state()
        return int(state["feature_rows"]) if state and self.features.exists() else 0

    def note_feature_rows(self, rows: int) -> None:
        self._write_state((self._read_state() or {}) | {"feature_rows": rows})

    def save(self, variables: Sequence[Any], progress: Progress) -> None:
        """Keep the values of `variables`, TensorFlow's, with the progress that they belong to."""
        temporary = self._checkpoint.with_suffix(".tmp")
        # np.savez would hold all arrays at once.
        with write_faults(temporary), zipfile.ZipFile(temporary, "w") as archive:
            for i, variable in enumerate(variables):
                _add(archive, f"{i}.npy", variable.numpy())
            _add(archive, "losses.npy", np.array(progress.losses))
            _add(archive, "seconds.npy", np.array(progress.seconds))
        os.replace(temporary, self._checkpoint)

    def restore(self, variables: Sequence[Any]) -> Progress:
        """Give `variables` the values of the last checkpoint; without one they stay as they are."""
        if not self._checkpoint.exists():
            return Progress()
        try:
            with np.load(self._checkpoint, allow_pickle=False) as kept:
                for i, variable in enumerate(variables):
                    variable.assign(kept[str(i)])
                return Progress(tuple(kept["losses"].tolist()), float(kept["seconds"]))
        except (zipfile.BadZipFile, OSError, ValueError, KeyError) as error:
            raise _damaged(self._checkpoint, error) from error

    def finish(self) -> None:
        """Rename the finished model to its place, and remove everything else."""
        os.replace(self.model, self.target)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read_state(self) -> dict[str, Any] | None:
        try:
            state = json.loads(self._state.read_text())
            return {"settings": dict(state["settings"]), "feature_rows": int(state["feature_rows"])}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(self._state, error) from error

    def _write_state(self, state: Mapping[str, Any]) -> None:
        temporary = self._state.with_suffix(".tmp")
        with write_faults(temporary):
            temporary.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
        os.replace(temporary, self._state)


@contextmanager
def write_faults(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path`, such as a full disk, into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror})",
            expected="a writable place with enough free disk",
            remedy="mend that and run the same command again to resume",
        ) from error


def _add(archive: zipfile.ZipFile, name: str, values: npt.NDArray[Any]) -> None:
    with archive.open(name, "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, np.asanyarray(values), allow_pickle=False)


def _mismatch(folder: Path, kept: Mapping[str, Any], now: Mapping[str, Any]) -> RunMismatchError:
    differing = [
        f"{name} {kept.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted({*kept, *now})
        if kept.get(name) != now.get(name)
    ]
    return RunMismatchError(
        f"the training in {folder} was begun with other settings ({', '.join(differing)})",
        expected="the same settings, to resume it",
        remedy="repeat them, or remove that folder to begin anew",
    )


def _damaged(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"{path} cannot be used ({type(error).__name__}: {error})",
        expected="what a training wrote there",
        remedy=f"remove {path.parent} to begin anew",
    )
