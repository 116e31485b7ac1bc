"""Which Ray is meant, and how long it is tried to reach it: decided without Ray, but for what a server answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ig_worker.errors import RunStoppedError, UsageError
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.cluster_address import CONNECT_S, Answer, Wanted, await_cluster, is_local, wanted_cluster
from tests.run.clocks import Clock

HEAD = Wanted("10.0.0.5:6379", "--address")


@pytest.mark.parametrize(
    ("address", "environment", "expected"),
    [
        (None, {}, None),
        ("", {}, None),
        (None, {"RAY_ADDRESS": ""}, None),  # Ray takes it for none, too
        (None, {"RAY_ADDRESS": "local"}, None),
        ("local", {"RAY_ADDRESS": "10.0.0.5:6379"}, None),
        ("10.0.0.5:6379", {"RAY_ADDRESS": "other:1"}, HEAD),
        (None, {"RAY_ADDRESS": "10.0.0.5:6379"}, Wanted("10.0.0.5:6379", "RAY_ADDRESS")),
        ("auto", {}, Wanted("auto", "--address")),
        ("auto", {"RAY_ADDRESS": "10.0.0.5:6379"}, Wanted("10.0.0.5:6379", "RAY_ADDRESS")),
        ("[::1]:6379", {}, Wanted("[::1]:6379", "--address")),
        ("ray://head:10001", {}, Wanted("ray://head:10001", "--address")),
    ],
)
def test_a_flag_beats_the_environment_and_none_is_a_local_ray(address, environment, expected) -> None:
    assert wanted_cluster(address, environment) == expected
    assert is_local(address, environment) is (expected is None)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://head:8265", "--address is http://head:8265, the address of a dashboard; expected HOST:PORT"),
        ("https://me:SECRET@head:8265", r"--address is https://\.\.\.@head:8265, the address of a dashboard"),
        ("me:SECRET@head:6379", r"--address is \.\.\.@head:6379; expected HOST:PORT"),
        ("ray://me:SECRET@head:6379", r"--address is ray://\.\.\.@head:6379; expected HOST:PORT"),
        ("banana", "--address is banana; expected HOST:PORT"),
        ("head", "is head; expected"),
        (":6379", "is :6379; expected"),
        ("head:", "is head:; expected"),
        ("head:0", "is head:0; expected"),
        ("head:65536", "is head:65536; expected"),
        ("head:1e3", "is head:1e3; expected"),
        ("he ad:6379", "is he ad:6379; expected"),
        ("::1:6379", "is ::1:6379; expected"),
        ("redis://head:6379", "is redis://head:6379; expected"),
        ("ray://head", "is ray://head; expected"),
    ],
)
def test_what_is_no_address_is_one_line_without_secrets(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as found:
        wanted_cluster(address, {})
    assert "SECRET" not in str(found.value)
    assert "leave --address out for a local Ray" in str(found.value)
    with pytest.raises(UsageError, match=r"RAY_ADDRESS is .*unset RAY_ADDRESS for a local Ray"):
        wanted_cluster(None, {"RAY_ADDRESS": address})


def wait(answers: Callable[[float], Answer], seconds: float | None = None) -> tuple[float, list[str]]:
    """When the wait ended, and what was told meanwhile."""
    clock, told = Clock(), []
    deadline = Deadline(seconds, clock=clock)
    await_cluster(HEAD, lambda _: answers(clock()), deadline, told.append, clock=clock, sleep=clock.pass_)
    return clock(), told


def test_a_head_that_comes_back_is_waited_for() -> None:
    ended, told = wait(lambda now: Answer(now > 30, "connection refused"))
    assert 30 < ended < 35
    assert told[0] == "connection refused; trying for 60 s more"


def test_a_head_that_never_answers_costs_a_minute() -> None:
    clock = Clock()

    def ask(_: str) -> Answer:
        clock.pass_(5)  # as long as it may take
        return Answer(False, "no answer within 5 s")

    with pytest.raises(UsageError, match=r"answers at 10\.0\.0\.5:6379 \(--address\) \(no answer .* tried for 60 s\)"):
        await_cluster(HEAD, ask, Deadline(None), lambda _: None, clock=clock, sleep=clock.pass_)
    assert CONNECT_S - 7 <= clock() <= CONNECT_S + 5


def test_what_another_attempt_will_not_mend_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"--address is 10\.0\.0\.5:6379, and that cluster runs Ray 1\.0"):
        wait(lambda _: Answer(False, "that cluster runs Ray 1.0", final=True))


def test_the_deadline_holds_while_it_is_tried() -> None:
    with pytest.raises(RunStoppedError, match="--deadline of 20 s has passed"):
        wait(lambda _: Answer(False, "connection refused"), seconds=20)


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Starts a gRPC server on loopback that answers as a head does whose `CheckAlive` is given; returns its address."""
    import grpc
    from ray.core.generated import gcs_service_pb2_grpc as services

    servers = []

    def start(check_alive: Any) -> str:
        server = grpc.server(ThreadPoolExecutor(1))
        if check_alive is not None:
            service = type("Service", (services.NodeInfoGcsServiceServicer,), {"CheckAlive": check_alive})()
            services.add_NodeInfoGcsServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


def test_what_answers_at_an_address_is_told_apart(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    import grpc
    import ray
    from ray.core.generated.gcs_service_pb2 import CheckAliveReply

    from ig_worker.run.dispatch import cluster

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which is not for Ray
    monkeypatch.setattr(cluster, "_ANSWER_S", 0.5)

    def version(text: str) -> Any:
        return lambda *_: CheckAliveReply(ray_version=text)

    head = serve(version(ray.__version__))
    assert cluster._ask(head) == cluster._ask(f"ray://{head}") == Answer(True)
    assert (
        cluster._ask(serve(version("1.0"))).reason == f"that cluster runs Ray 1.0, this process Ray {ray.__version__}"
    )
    assert cluster._ask(serve(None)) == Answer(False, "what answers there is not the head of a Ray cluster", True)
    refusing = serve(lambda self, request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no"))
    assert cluster._ask(refusing).final
    assert cluster._ask("127.0.0.1:9") == Answer(False, "connection refused")
    assert not cluster._ask("ray://127.0.0.1:9").alive
