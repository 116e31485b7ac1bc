"""A job on a cluster that scales: Ray's autoscaler starts nodes on this machine for it, and ends them after it."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ig_worker.run.store.run_store import RunStore
from tests.faults.processes import family, kill
from tests.tiny import WORDS

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NODES, STORE_BYTES, LONGEST_S = 2, 80_000_000, 600
HEAD = f"{'f' * 51}00000"  # the number that Ray's provider for one machine gives to the head
# Tells the number of workers whenever that changes.
WATCH = """
import ray, sys, time
ray.init(address=sys.argv[1], logging_level="error", log_to_driver=False)
last = None
while True:
    now = sum(node["Alive"] and "CPU" in node["Resources"] for node in ray.nodes())
    if now != last:
        print(now, flush=True)
    last = now
    time.sleep(0.5)
"""


@dataclass(frozen=True)
class Cluster:
    """A head without room for actors, and what it takes to talk to it."""

    address: str
    dashboard: str
    environment: dict[str, str]
    log: Path
    counts: Path  # how many workers there have been

    def workers(self) -> list[int]:
        return [int(line) for line in self.counts.read_text().split()]


def free_ports(number: int) -> list[int]:
    """Ports that neither Ray's workers (10002 to 19999) nor this machine's connections (from 32768) take."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < number:
            tried, port = held.enter_context(socket.socket()), random.randint(20000, 32000)
            with suppress(OSError):
                tried.bind(("", port))
                found.append(port)
    return found


def wait_for(cluster: Cluster, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < end, cluster.log.read_text()[-3000:]
        time.sleep(0.5)


def autoscaling(gcs: str) -> dict[str, object]:
    """The cluster file: as ours for a cloud, but for the provider, which starts Ray's processes here."""
    lists = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    lists += ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files")
    return {
        "cluster_name": "one-machine",
        "max_workers": NODES,
        "idle_timeout_minutes": 0.2,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": gcs,
            "disable_node_updaters": True,  # which would log in by SSH
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": {"CPU": 1, "object_store_memory": STORE_BYTES},
                "node_config": {},
                "min_workers": 0,
                "max_workers": NODES,
            },
        },
        "auth": {},
        "file_mounts": {},
    } | {name: [] for name in lists}


def head_command() -> list[str]:
    """How cluster.yaml starts a head; flags that follow override its own."""
    commands = yaml.safe_load((ROOT / "cluster.yaml").read_text())["head_start_ray_commands"]
    return shlex.split(commands[-1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    # Not pytest's own folder: the names of Ray's sockets there would be too long.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short:
        gcs, dashboard, *others = free_ports(6)
        environment = os.environ | {
            "HOME": short,  # the token goes there, and no other run of Ray finds it
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_FAKE_CLUSTER": "1",
            # As `ray up` starts a head.
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_NODE_TYPE_NAME": "ray.head.default",
        }
        subprocess.run(["ray", "get-auth-token", "--generate"], env=environment, check=True, capture_output=True)
        address = f"127.0.0.1:{gcs}"
        settings = folder / "cluster.yaml"
        settings.write_text(yaml.safe_dump(autoscaling(address)))
        flags = {
            "port": gcs, "dashboard-port": dashboard, "ray-client-server-port": others[0], "object-manager-port": 0,
            "dashboard-agent-listen-port": others[1], "dashboard-agent-grpc-port": others[2],
            "metrics-export-port": others[3], "object-store-memory": STORE_BYTES,
            "autoscaling-config": settings, "temp-dir": f"{short}/ray",
        }  # fmt: skip
        made = Cluster(address, f"http://127.0.0.1:{dashboard}", environment, folder / "log", folder / "counts")
        started: list[subprocess.Popen[bytes]] = []
        try:
            with made.log.open("wb") as log, made.counts.open("wb") as counts:
                command = [*head_command(), "--block", *(f"--{name}={value}" for name, value in flags.items())]
                head = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
                started.append(head)
                wait_for(made, lambda: "Ray runtime started" in made.log.read_text() or head.poll() is not None)
                assert head.poll() is None, made.log.read_text()[-3000:]
                watcher = [sys.executable, "-c", WATCH, address]
                watching = subprocess.Popen(watcher, env=environment, stdout=counts, stderr=log)
                started.append(watching)
                wait_for(made, lambda: bool(made.workers()) or watching.poll() is not None)
                assert watching.poll() is None, made.log.read_text()[-3000:]
            yield made
        finally:
            kill([process for ours in started for process in family(ours.pid)])
            for ours in started:
                ours.wait()


def submit(cluster: Cluster, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", ROOT, "--", *command],
        env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST_S,
    )  # fmt: skip


def write_reviews(path: Path, count: int) -> None:
    rows = [{"id": f"r{i}", "text": " ".join(WORDS[i % 20 : i % 20 + 9]), "label": i % 2} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.heavy
def test_the_code_comes_with_the_job_whole_and_nothing_else(cluster: Cluster) -> None:
    code = (
        "import ig_worker, jobs.nightly, ig_worker.run.chunk.worker as w, os;"
        "print('at', ig_worker.__file__, w.__file__); print('holds', *sorted(os.listdir('.')))"
    )
    done = submit(cluster, "python", "-c", code)
    assert re.search(r"at \S*_ray_pkg_\S* \S*_ray_pkg_", done.stdout), done.stdout[-3000:]
    (held,) = re.findall(r"^.*holds (.*)$", done.stdout, re.MULTILINE)
    names = set(held.split())
    assert {"ig_worker", "jobs", "pyproject.toml"} <= names
    assert not names & {".venv", ".git", "tests", "runs", "data", "models", ".demo", ".bench"}


@pytest.mark.heavy
def test_nodes_come_for_a_job_and_go_after_it(cluster: Cluster, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    wait_for(cluster, lambda: cluster.workers()[-1] == 0)
    data, run = tmp_path / "reviews.jsonl", tmp_path / "run"
    write_reviews(data, 40)
    settings = {
        "dataset": data, "model": tiny_models["distilbert"], "run": run, "actors": NODES, "gpus-per-actor": 0,
        "chunk-rows": 5, "max-length": 16, "method": "gausslegendre", "n-steps": 50, "batch-tokens": 512,
    }  # fmt: skip
    flags = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
    done = submit(cluster, "python", "-m", "jobs.explain", *flags)
    assert done.returncode == 0, done.stdout[-3000:]
    assert json.loads((run / "summary.json").read_text())["exit_code"] == 0
    assert sum(table.num_rows for table in RunStore(str(run)).results.each()) == 40
    wait_for(cluster, lambda: cluster.workers()[-1] == 0)
    assert max(cluster.workers()) == NODES


@pytest.mark.heavy
def test_a_night_that_is_stopped_goes_on_when_it_is_submitted_again(
    cluster: Cluster, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    data, settings = tmp_path / "reviews.jsonl", tmp_path / "night.toml"
    write_reviews(data, 200)
    night = {"runs": str(tmp_path / "runs"), "line": "stars"}
    explain = {
        "dataset": str(data), "model": str(tiny_models["distilbert"]), "actors": f"1:{NODES}", "gpus_per_actor": 0,
        "chunk_rows": 5, "max_length": 16, "method": "gausslegendre", "n_steps": 600, "batch_tokens": 512,
    }  # fmt: skip
    tables = {"night": night, "thresholds": {"min_accuracy": 1.01}, "explain": explain}
    settings.write_text("".join(f"[{name}]\n{toml(table)}" for name, table in tables.items()))

    def committed() -> dict[str, int]:
        found = (tmp_path / "runs").glob("stars-*/attributions/*.parquet")
        return {path.name: path.stat().st_mtime_ns for path in found}

    command = ["python", "-m", "jobs.nightly", str(settings)]
    jobs = ["ray", "job"], ["--address", cluster.dashboard]
    submitted = [*jobs[0], "submit", *jobs[1], "--working-dir", str(ROOT), "--no-wait", "--submission-id", "first"]
    options: dict[str, Any] = {"env": cluster.environment, "capture_output": True, "text": True, "timeout": LONGEST_S}
    subprocess.run([*submitted, "--", *command], check=True, **options)
    wait_for(cluster, lambda: len(committed()) >= 3)
    subprocess.run([*jobs[0], "stop", *jobs[1], "first"], check=True, **options)
    status = subprocess.run([*jobs[0], "status", *jobs[1], "first"], check=True, **options)
    assert "was stopped" in status.stdout + status.stderr
    before = committed()
    assert 3 <= len(before) < 40

    done = submit(cluster, *command)
    print(done.stdout)
    assert done.returncode == 1  # Ray's own code for every failure
    (run,) = (tmp_path / "runs").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["exit_code"] == 6  # the threshold above, which nothing can reach
    assert "min_accuracy" in summary["reason"]
    assert summary["reason"] in done.stdout  # the driver's words are the job's log
    assert {name: stamp for name, stamp in committed().items() if name in before} == before
    assert sum(table.num_rows for table in RunStore(str(run)).results.each()) == 200


def toml(table: dict[str, object]) -> str:
    """Strings and numbers as TOML writes them."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


@pytest.mark.heavy
def test_a_job_without_the_token_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    submit = ["ray", "job", "submit", "--address", cluster.dashboard, "--", "true"]
    stranger = cluster.environment | {"HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(submit, env=stranger, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode != 0
    assert "token" in (done.stdout + done.stderr).lower()
