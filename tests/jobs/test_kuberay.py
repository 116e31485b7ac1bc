"""The manifests for Kubernetes: against KubeRay's and Kubernetes' schemas, and in what those do not see."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ig_worker.insight.night.settings import NightConfig
from ig_worker.insight.thresholds import Thresholds
from ig_worker.run.config import ExplainConfig, actor_range
from jobs import _settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "jobs" / "kuberay"
DATA = Path(__file__).parent / "data"
Manifest = dict[str, Any]


def strict(schema: Any) -> Any:
    """The schema, but that an object has no other fields than those it names."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return closed | {key: strict(value) for key, value in schema.items()}


SOURCES = (("ConfigMap", "configMap", "name"), ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"))
KUBERNETES = yaml.safe_load((DATA / "kubernetes.yaml").read_text())
CRD = yaml.safe_load((DATA / "ray.io_raycronjobs.yaml").read_text())
CRON_SPEC = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
KINDS = KUBERNETES["kinds"] | {
    "ray.io/v1 RayCronJob": {"spec": CRON_SPEC},
    "ray.io/v1 RayJob": {"spec": CRON_SPEC["properties"]["jobTemplate"]},
}


def manifests(*names: str) -> list[Manifest]:
    return [found for name in names for found in yaml.safe_load_all((FOLDER / name).read_text())]


def everything() -> list[Manifest]:
    return manifests("common.yaml", "rayjob.yaml", "raycronjob.yaml", "cronjob.yaml")


def schema_errors(manifest: Manifest) -> list[str]:
    fields = KINDS[f"{manifest['apiVersion']} {manifest['kind']}"]
    own = {"apiVersion": {}, "kind": {}, "metadata": {"$ref": "#/definitions/Metadata"}}
    schema = strict({"type": "object", "properties": own | fields, "required": list(fields)})
    validator = jsonschema.Draft202012Validator(schema | {"definitions": strict(KUBERNETES["definitions"])})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def pods(found: Any) -> Iterator[Manifest]:
    """Every pod's spec in a manifest."""
    if isinstance(found, dict):
        if "containers" in found:
            yield found
        for part in found.values():
            yield from pods(part)
    elif isinstance(found, list):
        for part in found:
            yield from pods(part)


def problems(found: list[Manifest]) -> Iterator[str]:
    """What is wrong with the manifests, each as a line that begins with its subject."""
    for manifest in found:
        yield from (f"schema: {error}" for error in schema_errors(manifest))
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in found}
    names |= {("ConfigMap", entry["name"]) for entry in kustomization()["configMapGenerator"]}
    for pod in pods(found):
        yield from pod_problems(pod, names)
    specs = [m["spec"] for m in found if m["kind"] == "RayJob"]
    specs += [m["spec"]["jobTemplate"] for m in found if m["kind"] == "RayCronJob"]
    for spec in specs:
        yield from job_problems(spec)
    for cron in (manifest["spec"] for manifest in found if manifest["kind"] == "CronJob"):
        if cron["concurrencyPolicy"] != "Forbid":
            yield "cron: two nights could run at once"
        if cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 2 * specs[0]["activeDeadlineSeconds"]:
            yield "cron: it gives up before the night and its retry do"


def pod_problems(pod: Manifest, names: set[tuple[str, str]]) -> Iterator[str]:
    user = pod["securityContext"]
    if not user["runAsNonRoot"] or user["runAsUser"] == 0:
        yield "root: a pod may run as root"
    if "serviceAccountName" in pod and ("ServiceAccount", pod["serviceAccountName"]) not in names:
        yield f"name: there is no account {pod['serviceAccountName']}"
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for volume in volumes.values():
        for kind, source, key in SOURCES:
            if source in volume and (kind, volume[source][key]) not in names:
                yield f"name: there is no {kind} {volume[source][key]}"
    for container in pod["containers"]:
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            yield f"image: {container['image']} is not pinned"
        if container["securityContext"]["allowPrivilegeEscalation"] is not False:
            yield "root: a container may become root"
        resources = container["resources"]
        if not {"cpu", "memory"} <= resources["requests"].keys() or "memory" not in resources["limits"]:
            yield f"resources: {container['name']} asks for too little"
        if any(mount["name"] not in volumes for mount in container.get("volumeMounts", [])):
            yield f"name: {container['name']} mounts what is no volume"


def job_problems(spec: Manifest) -> Iterator[str]:
    cluster = spec["rayClusterSpec"]
    if cluster["authOptions"]["mode"] != "token":
        yield "token: it is off"
    if cluster["rayVersion"] != metadata.version("ray"):
        yield "version: it is not the lock file's Ray"
    if cluster["headGroupSpec"]["serviceType"] != "ClusterIP":
        yield "ports: the head can be reached from outside"
    if not 1 <= spec["backoffLimit"] <= 3 or not spec.get("activeDeadlineSeconds"):
        yield "retries: a lost head is not replaced, or a failed night goes on and on"
    if not spec["shutdownAfterJobFinishes"]:
        yield "end: the cluster stays"
    if "nightly.sh" not in spec["entrypoint"]:
        yield "exit: quarantined rows would be a failure"
    if not cluster["enableInTreeAutoscaling"]:
        yield "scale: it is off"
    if cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] != "0":
        yield "head: actors would land on it"
    for group in cluster["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        if group["minReplicas"] != 0 or group["maxReplicas"] < 1:
            yield "scale: not from none"
        for container in pod["containers"]:
            if container["resources"]["limits"].get("nvidia.com/gpu") != "1":
                yield "gpu: none is asked for"
        if not pod["nodeSelector"] or "nvidia.com/gpu" not in {taint["key"] for taint in pod["tolerations"]}:
            yield "gpu: its nodes are not found, or not tolerated"


def kustomization() -> Manifest:
    return yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def test_nothing_is_wrong_with_the_manifests() -> None:
    assert list(problems(everything())) == []


def test_both_schedules_start_the_same_night() -> None:
    (job,), (cron,) = manifests("rayjob.yaml"), manifests("raycronjob.yaml")
    assert cron["spec"]["jobTemplate"] == job["spec"]


JOB: tuple[str | int, ...] = ("RayJob", "spec")
CLUSTER = (*JOB, "rayClusterSpec")
HEAD, GPU = (*CLUSTER, "headGroupSpec"), (*CLUSTER, "workerGroupSpecs", 0)
POD = (*GPU, "template", "spec")
CONTAINER = (*POD, "containers", 0)
SPOILS: list[tuple[str, tuple[str | int, ...], Any]] = [
    ("schema", (*JOB, "backofLimit"), 1),
    ("schema", (*CLUSTER, "autoscalerOptions", "version"), "v3"),
    ("schema", (*HEAD, "rayStartParams", "dashboard-port"), 8265),
    ("schema", (*CONTAINER, "imagePulPolicy"), "Always"),
    ("schema", (*CONTAINER, "resources", "limits", "memory"), "12 GB"),
    ("schema", (*POD, "tolerations", 0, "operator"), "exists"),
    ("schema", ("RayCronJob", "spec", "concurrencyPolicy"), "Forbid"),
    ("schema", ("CronJob", "spec", "concurrency"), "Forbid"),
    ("schema", ("Role", "rules", 0, "verbs", 0), "submit"),
    ("cron", ("CronJob", "spec", "concurrencyPolicy"), "Allow"),
    ("cron", ("CronJob", "spec", "jobTemplate", "spec", "activeDeadlineSeconds"), 36000),
    ("token", (*CLUSTER, "authOptions", "mode"), "disabled"),
    ("version", (*CLUSTER, "rayVersion"), "2.9.0"),
    ("ports", (*HEAD, "serviceType"), "LoadBalancer"),
    ("retries", (*JOB, "backoffLimit"), 0),
    ("retries", (*JOB, "backoffLimit"), 100),
    ("retries", (*JOB, "activeDeadlineSeconds"), 0),
    ("end", (*JOB, "shutdownAfterJobFinishes"), False),
    ("exit", (*JOB, "entrypoint"), "python -m jobs.nightly night.toml"),
    ("scale", (*CLUSTER, "enableInTreeAutoscaling"), False),
    ("scale", (*GPU, "minReplicas"), 1),
    ("head", (*HEAD, "rayStartParams", "num-cpus"), "2"),
    ("gpu", (*CONTAINER, "resources", "limits", "nvidia.com/gpu"), "0"),
    ("gpu", (*POD, "tolerations", 0, "key"), "nvidia.com/gpus"),
    ("image", (*CONTAINER, "image"), "REGISTRY/ig-worker"),
    ("image", (*CONTAINER, "image"), "REGISTRY:5000/ig-worker:latest"),
    ("root", (*POD, "securityContext", "runAsUser"), 0),
    ("root", (*CONTAINER, "securityContext", "allowPrivilegeEscalation"), True),
    ("name", (*POD, "serviceAccountName"), "default"),
    ("name", (*POD, "volumes", 1, "persistentVolumeClaim", "claimName"), "runs"),
    ("name", (*CONTAINER, "volumeMounts", 0, "name"), "config"),
    ("resources", (*CONTAINER, "resources", "limits"), {"nvidia.com/gpu": "1"}),
]


@pytest.mark.parametrize(("subject", "path", "value"), SPOILS, ids=str)
def test_a_spoiled_manifest_is_found(subject: str, path: tuple[str | int, ...], value: Any) -> None:
    found = json.loads(json.dumps(everything()))  # YAML's anchors share what they name: here each place gets its own
    kind, *keys, last = path
    place: Any = next(manifest for manifest in found if manifest["kind"] == kind)
    for key in keys:
        place = place[key]
    place[last] = value
    assert {problem.partition(":")[0] for problem in problems(found)} == {subject}


def test_the_night_is_one_that_jobs_nightly_takes() -> None:
    tables = tomllib.loads((FOLDER / "night.toml").read_text())
    night = _settings.make_settings(NightConfig, tables["night"], "night")
    explain = _settings.make_settings(ExplainConfig, tables["explain"], "explain", None)
    _settings.make_settings(Thresholds, tables["thresholds"], "thresholds")
    explain.check()
    (job,) = manifests("rayjob.yaml")
    group = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert actor_range(explain.actors, default=1)[1] == group["maxReplicas"]
    assert str(explain.cpus_per_actor) == group["rayStartParams"]["num-cpus"]
    assert night.deadline is not None
    assert night.deadline < job["spec"]["activeDeadlineSeconds"]


def dockerfile() -> list[list[str]]:
    text = (FOLDER / "Dockerfile").read_text().replace("\\\n", "")
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_built_from_the_lock_files_and_not_by_root() -> None:
    lines = dockerfile()
    ((_, base),) = (line for line in lines if line[0] == "ARG")
    assert base == f"RAY=rayproject/ray:{metadata.version('ray')}-py311-cpu"
    stages = [line[3] for line in lines if line[0] == "FROM"]
    assert stages == ["packages", "packages-gpu", "cpu", "gpu"]
    assert [line[1] for line in lines if line[0] == "USER"] == ["1000"]
    installs = [line for line in lines if "install" in line]
    assert [line[-1] for line in installs] == ["requirements.lock", "jobs/gpu.lock"]
    assert all({"--require-hashes", "--no-deps"} <= set(line) for line in installs)


def test_what_the_image_copies_is_let_through() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {line[1] for line in dockerfile() if line[0] == "COPY"}
    assert {path.partition("/")[0] for path in copied} == kept
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, though no Kubernetes")
def test_kubectl_puts_everything_together() -> None:
    done = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(done.stdout))
    assert [error for manifest in found for error in schema_errors(manifest)] == []
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in found if manifest["kind"] == "ConfigMap"}
    assert maps["ig-worker-rayjob"]["rayjob.yaml"] == (FOLDER / "rayjob.yaml").read_text()
    assert set(maps["ig-worker-night"]) == {"night.toml"}


KUBECTL = """#!/bin/sh
echo "$1" >> "$0.calls"
case $1 in
get)
    state=$(head -n 1 "$0.states")
    [ "$state" = none ] && sed -i 1d "$0.states" && exit 1
    case $* in *reason*) echo DeadlineExceeded ;; *) sed -i 1d "$0.states"; echo "$state" ;; esac ;;
esac
"""


@pytest.mark.parametrize(
    ("states", "code", "changes"),
    [
        ("none Initializing Running Complete", 0, ["create"]),
        ("Complete Running Complete", 0, ["delete", "create"]),
        ("Failed Running Failed", 1, ["delete", "create"]),
        ("Running Running none Complete", 0, []),
    ],
)
def test_a_night_is_submitted_once_and_watched_to_its_end(
    states: str, code: int, changes: list[str], tmp_path: Path
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    (tmp_path / "kubectl.states").write_text("\n".join(states.split()) + "\n")
    done = subprocess.run(
        ["sh", FOLDER / "submit.sh"], env={"PATH": f"{tmp_path}:/usr/bin:/bin", "POLL_S": "0"}, check=False, timeout=30
    )
    calls = (tmp_path / "kubectl.calls").read_text().split()
    assert (done.returncode, [call for call in calls if call != "get"]) == (code, changes)
