"""The files for `ray up`: what Ray's own schema sees, and what it does not."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError
from ray.autoscaler._private.util import fillout_defaults, validate_config
from ray.scripts.scripts import start as ray_start

from ig_worker.run.dispatch.aws_spot import SpotFirst
from tests.jobs.cluster_config import ROOT, Config, is_spot, read

FILES = ("cluster.yaml", "jobs/cluster-gcp.yaml")
EXCLUDED = {".git", ".venv", ".demo", ".bench", "runs", "__pycache__"}


def problems(config: Config) -> Iterator[str]:
    """What is wrong with a cluster file, each as a line that begins with its subject."""
    try:
        validate_config(fillout_defaults(copy.deepcopy(config)))
    except ValidationError as error:
        yield f"schema: {str(error).splitlines()[0]}"
        return
    yield from node_problems(config)
    yield from port_problems(config)
    yield from install_problems(config)
    options = shlex.split(" ".join(config["docker"]["run_options"]))
    if "RAY_AUTH_MODE=token" not in options or "/home/ray/.ray/auth_token" not in config["file_mounts"]:
        yield "token: it is not on, or does not reach the nodes"


def node_problems(config: Config) -> Iterator[str]:
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    if head["resources"] != {"CPU": 0} or head["max_workers"] != 0:
        yield "head: actors would land on it"
    for name, node in types.items():
        if node["min_workers"] != 0 or node["max_workers"] != config["max_workers"]:
            yield f"workers: {name} does not scale from none to max_workers"
        if not node["resources"].get("GPU"):
            yield f"workers: {name} has no GPU"
    if config["max_workers"] < 1 or config["idle_timeout_minutes"] <= 0:
        yield "workers: none can come, or none can go"
    spot = [node for node in types.values() if is_spot(node["node_config"])]
    others = [node for node in types.values() if not is_spot(node["node_config"])]
    if not spot:
        yield "spot: no node type asks for it"
        return
    after = [n for n in others if n["resources"] == spot[0]["resources"] and n["priority"] < spot[0]["priority"]]
    if config["provider"].get("module") != f"{SpotFirst.__module__}.{SpotFirst.__name__}" and not after:
        yield "fallback: where there is no spot, nothing else is tried"


def port_problems(config: Config) -> Iterator[str]:
    (head,) = (command for command in config["head_start_ray_commands"] if "ray start" in command)
    if "--dashboard-host=127.0.0.1" not in head or "0.0.0.0" in head:
        yield "dashboard: it can be reached from elsewhere"
    published = re.search(r"(^|\s)(-p|--publish|-P)\b", " ".join(config["docker"]["run_options"]))
    if config["provider"].get("security_group") or published:
        yield "ports: more than SSH is let in"


def code_parts() -> set[str]:
    """Every name of a folder or file of the code: rsync excludes such names at any depth."""
    files = [file.relative_to(ROOT) for name in ("ig_worker", "jobs") for file in (ROOT / name).rglob("*.py")]
    return {part for file in files for part in file.parts}


def install_problems(config: Config) -> Iterator[str]:
    ray_version = metadata.version("ray")
    if not re.fullmatch(rf"rayproject/ray:{re.escape(ray_version)}-py311-\w+(@sha256:\w+)?", config["docker"]["image"]):
        yield "image: it is not pinned to the lock file's Ray and to Python 3.11"
    installs = [c for key in ("setup_commands", "worker_setup_commands") for c in config[key] if "pip install" in c]
    if not all("--require-hashes" in c and "--no-deps" in c for c in installs):
        yield "hashes: something is installed without them"
    if not any("requirements.lock" in c for c in installs) or not any("gpu.lock" in c for c in installs):
        yield "lock: a lock file is not used"
    missing = [path for path in config["file_mounts"].values() if path[0] != "~" and not (ROOT / path).exists()]
    if missing:
        yield f"mounts: {missing[0]} does not exist"
    if not set(config["rsync_exclude"]) >= EXCLUDED:
        yield "exclude: too much would be copied"
    if any(part in set(config["rsync_exclude"]) for part in code_parts()):
        yield "exclude: a part of the code would stay at home"
    known = {flag for parameter in ray_start.params for flag in parameter.opts}
    for command in [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]:
        if "ray start" in command and "--object-store-memory=" not in command:
            yield "store: it may take a third of the memory"
        for flag in set(re.findall(r"(--[a-z-]+)", command)) - known:
            yield f"start: Ray knows no {flag}"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_wrong_with_a_cluster_file(name: str) -> None:
    assert list(problems(read(name))) == []


@pytest.mark.parametrize("name", FILES)
def test_the_most_machines_are_set_in_one_place(name: str) -> None:
    text = (ROOT / name).read_text()
    assert len(re.findall(r"max_workers: [&\w]+ ?[1-9]", text)) == 1
    assert read(name)["max_workers"] == int(re.search(r"max_workers: &workers (\d+)", text)[1])  # type: ignore[index]


def worker(config: Config) -> Config:
    return next(n for n in config["available_node_types"].values() if is_spot(n["node_config"]))


def replace(key: str, old: str, new: str) -> Callable[[Config], None]:
    def spoil(config: Config) -> None:
        place, found = config[key], json.dumps(config[key])
        assert old in found, place
        config[key] = json.loads(found.replace(old, new))

    return spoil


SPOT_KEYS = ("InstanceMarketOptions", "scheduling")
SPOILS: dict[str, Callable[[Config], Any]] = {
    "schema: 'idle_minutes' was unexpected": lambda c: c.update(idle_minutes=5),
    "schema: -1 is less": lambda c: c.update(max_workers=-1),
    "head": lambda c: c["available_node_types"]["head"]["resources"].update(CPU=4),
    "workers: gpu": lambda c: worker(c).update(min_workers=-1),
    "workers: gpu-or-so": lambda c: worker(c).update(max_workers=c["max_workers"] + 1),
    "workers: none": lambda c: c.update(idle_timeout_minutes=0),
    "spot": lambda c: [c.pop(k, None) for c in [worker(c)["node_config"]] for k in SPOT_KEYS],
    "fallback": lambda c: (
        c["provider"].pop("module", None),
        c["provider"].update(type="aws"),
        c["available_node_types"].pop("gpu-on-demand", None),
    ),
    "image: latest": lambda c: c["docker"].update(image="rayproject/ray:latest-py311-cpu"),
    "image: none": lambda c: c["docker"].update(image="rayproject/ray"),
    "token: off": replace("docker", "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
    "token: not there": lambda c: c["file_mounts"].pop("/home/ray/.ray/auth_token"),
    "dashboard": replace("head_start_ray_commands", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"),
    "start: no such flag": replace("worker_start_ray_commands", "--object-manager-port", "--object-port"),
    "ports": lambda c: c["provider"].update(security_group={"IpPermissions": [{"FromPort": 8265, "ToPort": 8265}]}),
    "ports: docker": lambda c: c["docker"]["run_options"].append("-p 8265:8265"),
    "hashes": replace("setup_commands", "--require-hashes", ""),
    "lock": replace("setup_commands", "requirements.lock", "requirements.txt"),
    "mounts": lambda c: c["file_mounts"].update({"/home/ray/x": "no-such-folder"}),
    "exclude: .git": lambda c: c["rsync_exclude"].remove(".git"),
    "exclude: code": lambda c: c["rsync_exclude"].append("data"),
    "store": replace("worker_start_ray_commands", "--object-store-memory=500000000", ""),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("problem", SPOILS)
def test_a_spoiled_cluster_file_is_found(name: str, problem: str) -> None:
    config = read(name)
    SPOILS[problem](config)
    assert {found.partition(":")[0] for found in problems(config)} == {problem.partition(":")[0]}


def test_the_gpu_lock_holds_what_tensorflow_asks_for() -> None:
    asked = {
        re.sub(r"\s", "", line.partition(";")[0])
        for line in metadata.requires("tensorflow") or []
        if "and-cuda" in line.partition(";")[2]
    }
    locked = re.findall(r"^(\S+==\S+) \\$", (ROOT / "jobs" / "gpu.lock").read_text(), re.MULTILINE)
    assert set(locked) == asked


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (3, 0), (1, 1), (4, 4), (5, 5), (6, 6), (143, 143)])
def test_quarantined_rows_are_no_failure_to_a_scheduler(code: int, expected: int, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$*" = "-m jobs.nightly night.toml --deadline 5" ] || exit 99\nexit {code}\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["sh", ROOT / "jobs" / "nightly.sh", "night.toml", "--deadline", "5"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == expected


RAY = """#!/bin/sh
echo "$*" >> "$0.calls"
case "$1 $2" in
"up "*) exit $UP ;;
"dashboard "*) exec sleep 30 ;;
"job submit") [ "$RAY_AUTH_MODE $RAY_ADDRESS" = "token http://127.0.0.1:8265" ] && exit $JOB ;;
esac
"""


@pytest.mark.parametrize(("up", "job", "code"), [(0, 0, 0), (0, 1, 1), (1, 0, 1)])
def test_whatever_becomes_of_a_night_its_cluster_is_taken_down(up: int, job: int, code: int, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "jobs").mkdir(parents=True)
    script = folder / "jobs" / "cluster-night.sh"
    script.write_bytes((ROOT / "jobs" / script.name).read_bytes())
    ray = tmp_path / "ray"
    ray.write_text(RAY)
    ray.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "UP": str(up), "JOB": str(job), "POLL_S": "0"}
    done = subprocess.run(["sh", script, "night.toml"], env=environment, check=False, timeout=30)
    calls = (tmp_path / "ray.calls").read_text().splitlines()
    assert done.returncode == code
    # The dashboard runs beside the script: a quick night may be over before it has begun.
    assert [call for call in calls if call != "dashboard cluster.yaml"][-1] == "down --yes cluster.yaml"
    submitted = "job submit --working-dir . -- sh jobs/nightly.sh night.toml"
    assert (submitted in calls) == (up == 0)
