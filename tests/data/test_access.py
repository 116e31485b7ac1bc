"""Files follow the umask, whatever the library that wrote them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ig_worker.data.access import follow_umask, reason_of


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders_get_the_modes_that_the_umask_asks_for(tmp_path: Path, umask: int) -> None:
    folder, inner, link = tmp_path / "model", tmp_path / "model" / "inner", tmp_path / "model" / "link"
    inner.mkdir(parents=True)
    for file in (folder / "weights", inner / "weights"):
        file.touch(0o600)
        file.chmod(0o600)  # as safetensors writes it
    folder.chmod(0o700)
    (tmp_path / "elsewhere").touch(0o600)
    (tmp_path / "elsewhere").chmod(0o600)
    link.symlink_to(tmp_path / "elsewhere")
    follow_umask(folder)
    assert {mode(folder / "weights"), mode(inner / "weights")} == {0o666 & ~umask}
    assert {mode(folder), mode(inner)} == {0o777 & ~umask}
    assert mode(tmp_path / "elsewhere") == 0o600


def test_what_may_not_be_read_is_told_with_its_mode_and_its_owner(tmp_path: Path) -> None:
    (tmp_path / "rows").touch()
    (tmp_path / "rows").chmod(0o640)
    told = reason_of(PermissionError(13, "Permission denied", str(tmp_path / "rows")))
    assert told.startswith("Permission denied; mode 0640 of ")
    assert reason_of(FileNotFoundError(2, "No such file or directory", "rows")) == "No such file or directory"
