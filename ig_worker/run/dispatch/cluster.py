"""The connection to Ray: the one that this process has, a cluster, or a local one for the time of a run."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from ig_worker.data.files import brief
from ig_worker.errors import IgWorkerError, RunStoppedError, UsageError
from ig_worker.models.environment import ONEDNN
from ig_worker.run import logs
from ig_worker.run.config import ActorSettings, actor_range
from ig_worker.run.deadline import AGAIN, Deadline
from ig_worker.run.dispatch.cluster_address import CLIENT, Answer, Wanted, await_cluster, wanted_cluster
from ig_worker.run.dispatch.executor import ActorSpec
from ig_worker.run.dispatch.local_machine import check_surroundings, session_folder, usable_cpus
from ig_worker.run.progress import meter

_OBJECT_STORE_BYTES = 200_000_000  # nothing but small records passes through it
_ENVIRONMENT = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "false"}
_ANSWER_S = 5.0
_SILENT = f"no answer within {_ANSWER_S:.0f} s"
_keeping = False
_own = False  # whether the connection that there is was made here


@contextmanager
def kept() -> Iterator[None]:
    """Let the first connection made within the context serve all others there, and end it at the end.

    Ray 2.60 leaves the senders of a process's earlier connections at work: from the third on, metrics count double.
    """
    global _keeping
    _keeping = True
    try:
        yield
    finally:
        _keeping = False
        _disconnect()


@contextmanager
def cluster(settings: ActorSettings, deadline: Deadline | None = None) -> Iterator[tuple[int, int]]:
    """A Ray connection, for the time of the context.

    The one that this process has already, as in somebody's notebook, which is then left as it is; else the cluster of
    `--address` or RAY_ADDRESS, or a local one. Yields the fewest and the most actors to use there.

    Raises:
        UsageError: no cluster at that address, or a local one that cannot start, or on which no actor could ever run.
        RunStoppedError: the deadline has passed.
    """
    theirs = ray.is_initialized() and not _own
    wanted = wanted_cluster(settings.address, {} if theirs else os.environ)
    if theirs:
        _require_same(wanted)
    elif not ray.is_initialized():
        _connect(settings, wanted, deadline or Deadline(None))
    try:
        resources = ray.cluster_resources()
        if wanted is None and (settings.gpus_per_actor or 0) > resources.get("GPU", 0):
            raise UsageError(
                f"--gpus-per-actor is {settings.gpus_per_actor:g} and Ray sees {resources.get('GPU', 0):g} GPUs here",
                remedy="set --gpus-per-actor 0, or give a cluster's --address",
            )
        yield actor_range(settings.actors, default=max(1, int(resources.get("CPU", 1)) // settings.cpus_per_actor))
    finally:
        if not _keeping:
            _disconnect()


def spawner(spec: ActorSpec) -> Callable[[], Any]:
    """A function that starts one actor on this connection."""
    options: dict[str, Any] = {"num_cpus": spec.settings.cpus_per_actor, "num_gpus": spec.settings.gpus_per_actor or 0}
    if not _own:  # somebody else's connection does not bring the actors' environment
        options["runtime_env"] = {"env_vars": _environment()}
    remote = ray.remote(max_restarts=0, max_task_retries=0, **options)(spec.kind)
    return lambda: remote.remote(*spec.arguments)


def own_seat() -> str:
    """Where this actor runs: its node, and the GPU of it where it has one."""
    gpus = ray.get_gpu_ids()
    return ray.get_runtime_context().get_node_id() + (f":gpu{','.join(map(str, gpus))}" if gpus else "")


def _environment() -> dict[str, str]:
    # A user's wish to do without. What is set by itself is for each machine to decide.
    without = {ONEDNN: "0"} if os.environ.get(ONEDNN) == "0" else {}
    return _ENVIRONMENT | without | logs.environment()


def _disconnect() -> None:
    global _own
    if _own:
        _own = False
        ray.shutdown()


def _connect(settings: ActorSettings, wanted: Wanted | None, deadline: Deadline) -> None:
    global _own
    options: dict[str, Any] = {"runtime_env": {"env_vars": _environment()}, "log_to_driver": False}
    if wanted is None:
        check_surroundings()
        _, most = actor_range(settings.actors, default=1)
        # More actors than cores is the user's choice to make; Ray would wait for cores that never come.
        cpus = max(usable_cpus(), most * settings.cpus_per_actor)
        options |= {"num_cpus": cpus, "object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    else:
        reach(wanted, deadline)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with warnings.catch_warnings(action="ignore"):  # what fails is told below, in one line
            ray.init(address=wanted.address if wanted else "local", logging_level=logging.ERROR, **options)
    except Exception as error:
        raise _refusal(error, wanted) from error
    _own = True
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():  # Ray puts its own in place, which end the driver without a word
            signal.signal(number, handler)


def _refusal(error: Exception, wanted: Wanted | None) -> IgWorkerError:
    """What to say where Ray could neither be started nor joined, although it looked as if it could."""
    reason = " ".join(str(error.__cause__ or error).split())[:400]
    if wanted is None and "timed out" in reason.lower():  # Ray gives itself 30 s
        return RunStoppedError(
            f"Ray did not start in time on this machine ({reason})",
            expected="a machine with time, memory and disk to spare",
            remedy=f"{AGAIN}; should it be no better, see session_latest/logs in {session_folder()}",
        )
    if wanted is None:
        return UsageError(
            f"Ray could not start on this machine ({reason})",
            expected="a machine with memory, processes and disk to spare",
            remedy=f"see session_latest/logs in {session_folder()}, or give a cluster's --address",
        )
    return UsageError(
        f"the Ray cluster at {wanted} cannot be joined ({reason})",
        expected="a cluster with the same Ray and Python as here, one of whose nodes this machine is",
        remedy=f"submit the job to it (ray job submit), or start it on one of its nodes; or {wanted.otherwise}",
    )


def reach(wanted: Wanted, deadline: Deadline) -> None:
    """Wait until a cluster answers; see `cluster_address.await_cluster`."""
    with meter("connecting to Ray", None) as shown:
        await_cluster(_found(wanted), _ask, deadline, lambda text: shown.update(0, text))


def _found(wanted: Wanted) -> Wanted:
    """The address of a cluster, looked for on this machine where it is ``auto``.

    Raises:
        UsageError: none runs here.
    """
    if wanted.address != "auto":
        return wanted
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray._private.services import canonicalize_bootstrap_address

    logging.getLogger("ray").setLevel(logging.ERROR)  # as ray.init does later
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        return Wanted(canonicalize_bootstrap_address("auto") or "", f"{wanted.source} auto")
    except ConnectionError as error:
        raise UsageError(
            f"{wanted.source} is auto, and no Ray cluster runs on this machine",
            expected="one that ray start has started here",
            remedy=f"start it, give its HOST:PORT, or {wanted.otherwise}",
        ) from error


def _ask(address: str) -> Answer:
    """Whether the head of a cluster of this Ray answers at HOST:PORT, or anything at ray://HOST:PORT.

    Ray's own way to find out takes a quarter of an hour where nothing is there, and tells each attempt on stderr.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated.gcs_service_pb2 import CheckAliveRequest
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    try:
        # Ray's own channels take no proxy.
        with init_grpc_channel(address.removeprefix(CLIENT), [("grpc.enable_http_proxy", 0)]) as channel:
            if address.startswith(CLIENT):
                grpc.channel_ready_future(channel).result(_ANSWER_S)
                return Answer(True)
            version = NodeInfoGcsServiceStub(channel).CheckAlive(CheckAliveRequest(), timeout=_ANSWER_S).ray_version
    except grpc.RpcError as error:
        return _failed(error)
    except grpc.FutureTimeoutError:
        return Answer(False, _SILENT)
    except (RayError, RuntimeError, OSError, ValueError) as error:  # such as a token, or certificates, that lack here
        return Answer(False, f"it cannot be asked ({brief(error)})", final=True)
    if version != ray.__version__:
        return Answer(False, f"that cluster runs Ray {version}, this process Ray {ray.__version__}", final=True)
    return Answer(True)


def _failed(error: Any) -> Answer:
    """What an error of gRPC means."""
    code, details = error.code().name, error.details() or ""
    if code == "UNIMPLEMENTED":
        return Answer(False, "what answers there is not the head of a Ray cluster", final=True)
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return Answer(False, "that cluster asks for a token, by RAY_AUTH_MODE=token and ~/.ray/auth_token", final=True)
    if code == "DEADLINE_EXCEEDED":
        return Answer(False, _SILENT)
    if "HTTP/2" in details:
        return Answer(False, "what answers there does not speak Ray's protocol")
    known = ("Connection refused", "Domain name not found", "No route to host", "Network is unreachable")
    return Answer(False, next((text.lower() for text in known if text in details), brief(error.details() or code)))


def _require_same(wanted: Wanted | None) -> None:
    """Whether the connection that this process has is to the cluster that was asked for.

    Raises:
        UsageError: it is to another.
    """
    from ray.util.client import ray as client

    if wanted is None or wanted.address == "auto":
        return
    if client.is_connected():
        here, same = "through Ray's client", wanted.address.startswith(CLIENT)
    else:
        here = ray.get_runtime_context().gcs_address
        same = _same(wanted.address, here)
    if not same:
        raise UsageError(
            f"this process is connected to a Ray cluster already ({here}), and --address is {wanted.address}",
            remedy="leave --address out to use that connection, or call ray.shutdown() first",
        )


def _same(one: str, other: str) -> bool:
    """Whether two HOST:PORT are one; the host may be a name, or this machine by another one."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        addresses = set()
    return port == other_port and (other_host in {host, *addresses} or bool(addresses & {"127.0.0.1", "::1"}))
