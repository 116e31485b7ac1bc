"""A driver that is interrupted or killed loses nothing: the same command goes on, and the rows are the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ig_worker.run.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
CHUNKS = 12


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> list[str]:
    data = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = [f"r{i},the film was {'good ' * (i % 5 + 1)}{'' if i % 3 else 'awful'},{i % 2}" for i in range(4 * CHUNKS)]
    data.write_text("id,text,label\n" + "\n".join(rows) + "\n")
    settings = ["--dataset", str(data), "--model", str(tiny_models["distilbert"]), "--max-length", "16"]
    settings += ["--chunk-rows", "4", "--method", "gausslegendre", "--n-steps", "1500", "--actors", "1"]
    return [sys.executable, "-m", "jobs.explain", *settings]


@pytest.fixture(scope="module")
def calm(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an undisturbed run."""
    run = tmp_path_factory.mktemp("calm")
    done = subprocess.run([*command, "--run", str(run)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(content(run))


def content(run: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted((run / "attributions").glob("*")):
        yield path.name, path.read_bytes()


def start(command: list[str], run: Path) -> subprocess.Popen[str]:
    """Start the command in a group of its own."""
    return subprocess.Popen(
        [*command, "--run", str(run)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        env={**os.environ, "STARTED_FOR": str(run)},
        # A test runner in the background may ignore SIGINT, and what it starts then does, too; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], there: Callable[[], Any]) -> Any:
    end = time.monotonic() + 120
    while not (found := there()) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    return found


def commits(run: Path) -> list[Path]:
    return list((run / "attributions").glob("chunk-*"))


def interrupt(command: list[str], run: Path, with_signal: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Start the command and signal it as soon as a chunk is committed."""
    process = start(command, run)
    wait_for(process, lambda: commits(run))
    if with_signal is signal.SIGINT:  # Ctrl-C reaches everything in the foreground of the terminal
        os.killpg(process.pid, with_signal)
    else:
        os.kill(process.pid, with_signal)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize(
    "with_signal", [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.heavy)]
)
def test_an_interrupted_run_goes_on_where_it_stopped(command, calm, tmp_path: Path, with_signal) -> None:
    stopped = interrupt(command, tmp_path, with_signal)
    if with_signal is signal.SIGKILL:
        assert stopped.returncode == -signal.SIGKILL
    else:
        assert stopped.returncode == 4
        assert stopped.stderr.splitlines()[-1].startswith("error: interrupted; ")
        assert "run the same command again to resume" in stopped.stderr
    kept = dict(content(tmp_path))
    assert 0 < len(kept) < CHUNKS
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "attributions").glob("chunk-*")}
    done = subprocess.run([*command, "--run", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The actor of a killed driver may live long enough to commit the chunk it was at.
    redone = int(re.search(rf"this start: (\d+) of {CHUNKS} chunks", done.stdout)[1])
    assert 0 < redone <= CHUNKS - len(kept)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "finished chunks were made again"
    assert dict(content(tmp_path)) == calm
    ids = [id for table in RunStore(str(tmp_path)).iter_attributions(["id"]) for id in table.column("id").to_pylist()]
    assert sorted(ids) == sorted(f"r{i}" for i in range(4 * CHUNKS))


def actors(run: Path) -> list[int]:
    """Processes of actors that the driver of a run has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"STARTED_FOR={run}".encode() in (entry / "environ").read_bytes().split(b"\0") and (
                entry / "cmdline"
            ).read_bytes().startswith(b"ray::Actor"):
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def test_an_actor_that_hangs_does_not_hold_a_stop_up(command, calm, tmp_path: Path) -> None:
    process = start(command, tmp_path)
    wait_for(process, lambda: commits(tmp_path))
    (actor,) = actors(tmp_path)
    os.kill(actor, signal.SIGSTOP)
    try:
        process.terminate()
        _, err = process.communicate(timeout=30)
        stopped = commits(tmp_path)
    finally:
        with suppress(ProcessLookupError):  # Ray may have ended it
            os.kill(actor, signal.SIGKILL)
    assert process.returncode == 4
    assert err.splitlines()[-1].startswith("error: interrupted; ")
    assert RunStore(str(tmp_path)).manifest()["state"] == "stopped"
    assert not (tmp_path / "driver.json").exists()
    assert 0 < len(stopped) < CHUNKS
    assert all(path.read_bytes() == calm[path.name] for path in stopped)


def test_a_stop_while_the_first_actor_is_starting(command, tmp_path: Path) -> None:
    process = start(command, tmp_path)
    assert wait_for(process, lambda: actors(tmp_path))
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4
    assert err.splitlines()[-1].startswith(f"error: interrupted; 0 of {CHUNKS} chunks are done")
    assert RunStore(str(tmp_path)).manifest()["state"] == "stopped"
