"""A place for the run that is full or read-only: one line, nothing half-written, and the same command goes on later."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ig_worker.run.store.run_store import RunStore
from jobs import explain, prepare, report, status, verify

Mount = Callable[[str], None]


class Disk:
    """A small file system in memory."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self.place)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def fill(self) -> None:
        """Leave room for nothing but a few small files."""
        (self.place / "filler").write_bytes(b"x" * max(0, shutil.disk_usage(self.place).free - 24 * 1024))

    def make_room(self) -> None:
        (self.place / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    made.place.mkdir()
    mounted = made.mount("size=2m")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield made
    subprocess.run(["umount", "--lazy", str(made.place)], check=True)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """40 rows of words that hardly compress, 600 KB."""
    rng = random.Random(7)
    rows = [
        {"id": f"r{i}", "text": " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(2000))}
        for i in range(40)
    ]
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "reviews.jsonl"


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines].count(True) == 1
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


def files(run: Path, *folders: str) -> dict[str, bytes]:
    return {
        f"{folder}/{path.name}": path.read_bytes() for folder in folders for path in sorted((run / folder).glob("*"))
    }


def test_a_disk_that_fills_up_while_data_is_sharded(disk: Disk, reviews: Path, tmp_path: Path, capsys) -> None:
    command = ["--dataset", str(reviews), "--chunk-rows", "4", "--run"]
    assert prepare.main([*command, str(tmp_path / "calm")]) == 0
    (disk.place / "filler").write_bytes(b"x" * (2**20 + 700 * 1024))
    assert prepare.main([*command, str(disk.place / "run")]) in (1, 4)
    assert "No space left on device" in the_line(capsys)
    assert 0 < len(files(disk.place / "run", "chunks")) < 10
    assert not list((disk.place / "run").rglob(".tmp-*"))
    disk.make_room()
    assert prepare.main([*command, str(disk.place / "run")]) == 0
    assert files(disk.place / "run", "chunks") == files(tmp_path / "calm", "chunks")


def test_a_read_only_place_starts_nothing(disk: Disk, reviews: Path, tiny_models: dict[str, Path], capsys) -> None:
    command = ["--dataset", str(reviews), "--model", str(tiny_models["bert"]), "--max-length", "16", "--run"]
    disk.mount("remount", "ro")
    assert explain.main([*command, str(disk.place / "run")]) == 1
    assert "Read-only file system" in the_line(capsys)
    assert list(disk.place.iterdir()) == []


@pytest.mark.heavy
def test_a_disk_that_fills_up_while_rows_are_explained(
    disk: Disk, reviews: Path, tiny_models: dict[str, Path], tmp_path: Path, capsys
) -> None:
    flags = ["--chunk-rows", "10", "--max-length", "16", "--method", "gausslegendre", "--n-steps", "2"]
    flags += ["--batch-tokens", "512", "--actors", "1"]
    command = ["--dataset", str(reviews), "--model", str(tiny_models["bert"]), *flags, "--run"]
    run = disk.place / "run"
    assert explain.main([*command, str(tmp_path / "calm")]) == 0
    assert prepare.main(["--dataset", str(reviews), "--chunk-rows", "10", "--run", str(run)]) == 0
    disk.fill()
    capsys.readouterr()
    assert explain.main([*command, str(run)]) == 4
    assert "No space left on device" in the_line(capsys)
    assert len(files(run, "attributions")) < 4
    assert files(run, "quarantine") == {}
    assert status.main([str(run)]) == 0
    disk.make_room()
    assert explain.main([*command, str(run)]) == 0
    assert files(run, "attributions") == files(tmp_path / "calm", "attributions")
    disk.mount("remount", "ro")
    assert [job.main([str(run)]) for job in (status, verify, report)] == [0, 0, 1]
    assert RunStore(str(run)).manifest.existing()["state"] == "complete"
