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
from typing import Any, NamedTuple

import pytest

from ig_worker.run.config import ExplainConfig
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import explain_here

ROOT = Path(__file__).resolve().parents[2]
CHUNKS = 12


class Ended(NamedTuple):
    """How a driver has ended, and what it says of its run."""

    code: int
    errors: list[str]  # lines
    state: str


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> ExplainConfig:
    data = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = [f"r{i},the film was {'good ' * (i % 5 + 1)}{'' if i % 3 else 'awful'},{i % 2}" for i in range(4 * CHUNKS)]
    data.write_text("id,text,label\n" + "\n".join(rows) + "\n")
    return ExplainConfig(
        dataset=str(data), model=str(tiny_models["distilbert"]), max_length=16, chunk_rows=4, method="gausslegendre",
        n_steps=400, actors="1",
    )  # fmt: skip


@pytest.fixture(scope="module")
def command(config: ExplainConfig) -> list[str]:
    settings = ["--dataset", config.dataset, "--model", config.model, "--max-length", "16"]
    settings += ["--chunk-rows", "4", "--method", "gausslegendre", "--n-steps", "400", "--actors", "1"]
    return [sys.executable, "-m", "jobs.explain", *settings]


@pytest.fixture(scope="module")
def calm(config: ExplainConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that nothing disturbs, made in this process: they are the same wherever they are made."""
    place = tmp_path_factory.mktemp("calm")
    explain_here(place, config)
    return dict(content(place))


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


def finish(command: list[str], run: Path) -> str:
    """Run the command to its end; what it says on stdout."""
    done = subprocess.run([*command, "--run", str(run)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ended(process: subprocess.Popen[str], run: Path, timeout_s: float) -> Ended:
    _, err = process.communicate(timeout=timeout_s)
    return Ended(process.returncode, err.splitlines(), RunStore(str(run)).manifest.existing()["state"])


def wait_for(process: subprocess.Popen[str], there: Callable[[], Any]) -> Any:
    end = time.monotonic() + 120
    while not (found := there()) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    return found


def commits(run: Path) -> list[Path]:
    return list((run / "attributions").glob("chunk-*"))


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


def terminated_at_the_start(process: subprocess.Popen[str], run: Path) -> Ended:
    assert wait_for(process, lambda: actors(run))
    process.terminate()
    return ended(process, run, timeout_s=30)


def ctrl_c(process: subprocess.Popen[str], run: Path) -> Ended:
    os.killpg(process.pid, signal.SIGINT)  # it reaches everything in the foreground of the terminal
    return ended(process, run, timeout_s=60)


def terminated(process: subprocess.Popen[str], run: Path) -> Ended:
    process.terminate()
    return ended(process, run, timeout_s=60)


def terminated_while_its_actor_hangs(process: subprocess.Popen[str], run: Path) -> Ended:
    (actor,) = actors(run)
    os.kill(actor, signal.SIGSTOP)
    try:
        process.terminate()
        return ended(process, run, timeout_s=30)  # which the actor does not hold up
    finally:
        with suppress(ProcessLookupError):  # Ray may have ended it
            os.kill(actor, signal.SIGKILL)


def killed(process: subprocess.Popen[str], run: Path) -> Ended:
    process.kill()
    return ended(process, run, timeout_s=60)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [terminated_at_the_start, ctrl_c, terminated_while_its_actor_hangs, killed], id="one after the other"
        ),
        pytest.param([terminated], id="terminated", marks=pytest.mark.heavy),
    ],
)
def test_an_interrupted_run_goes_on_where_it_stopped(command, calm, tmp_path: Path, faults) -> None:
    stamps: dict[Path, int] = {}
    for fault in faults:
        process = start(command, tmp_path)
        before = len(stamps)
        if fault is not terminated_at_the_start:
            wait_for(process, lambda before=before: len(commits(tmp_path)) > before)  # so that it is at work
        end = fault(process, tmp_path)
        stamps |= {path: path.stat().st_mtime_ns for path in set(commits(tmp_path)) - stamps.keys()}
        if fault is killed:
            assert end.code == -signal.SIGKILL
        else:
            assert (end.code, end.state) == (4, "stopped")
            assert re.match(rf"error: interrupted; \d+ of {CHUNKS} chunks are done", end.errors[-1])
            assert "run the same command again to resume" in end.errors[-1]
            assert not (tmp_path / "driver.json").exists()
        assert len(stamps) < CHUNKS
        assert bool(stamps) == (fault is not terminated_at_the_start)
    told = finish(command, tmp_path)
    # The actor of a killed driver may live long enough to commit the chunk it was at.
    redone = int(re.search(rf"this start: (\d+) of {CHUNKS} chunks", told)[1])
    assert 0 < redone <= CHUNKS - len(stamps)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "finished chunks were made again"
    assert dict(content(tmp_path)) == calm
    ids = [id for table in RunStore(str(tmp_path)).results.each(["id"]) for id in table.column("id").to_pylist()]
    assert sorted(ids) == sorted(f"r{i}" for i in range(4 * CHUNKS))
