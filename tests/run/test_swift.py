"""What moto cannot show: a server that checks secrets and regions, and that keeps its objects as a real one does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ig_worker.errors import StorageError
from ig_worker.run.store.filesystem import Storage, transient
from tests.run.s3 import FaultyProxy, make_bucket
from tests.run.swift_server import SECRET, swift_server, swift_uri

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with swift_server(tmp_path_factory.mktemp("swift")) as port:
        make_bucket(swift_uri(port, "runs"))
        yield port


# What is wrong with a place; part of its URI, and what stands there instead; what the message has to say.
WRONG = {
    "secret": (SECRET, "another-secret", "ACCESS_DENIED|SIGNATURE_DOES_NOT_MATCH"),
    "key": ("tester", "nobody", "ACCESS_DENIED|SIGNATURE_DOES_NOT_MATCH"),
    "bucket": ("@runs/", "@no-such-bucket/", "NO_SUCH_BUCKET"),
    "region": ("us-east-1", "eu-west-9", "HTTP status 400"),
    "scheme": ("scheme=http", "scheme=https", "SSL connect error"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_will_not_pass_is_told_without_waiting_and_without_the_secret(port: int, what: str, monkeypatch) -> None:
    part, instead, message = WRONG[what]
    right = swift_uri(port, "runs/night")
    wrong = Storage(right.replace(part, instead), patience_s=600.0)
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waits for what will not pass"))
    with pytest.raises(StorageError, match=message) as caught:
        wrong.write("run.json", b"x")
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)
    assert Storage(right).list("") == []


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_a_server_that_does_not_answer_may_come_back(port: int, host: str) -> None:
    place = swift_uri(port, "runs/night").replace(f"127.0.0.1:{port}", host)
    with pytest.raises(StorageError, match="NETWORK_CONNECTION") as caught:
        Storage(place).write("run.json", b"x")
    assert transient(caught.value.__cause__, local=False)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("size", "only"), [(500_000, rb"PUT"), (11_000_000, rb"PUT .*partNumber=2")])
def test_an_upload_that_is_cut_leaves_nothing_under_the_final_name(port: int, size: int, only: bytes) -> None:
    with FaultyProxy(port) as proxy:
        storage = Storage(swift_uri(proxy.port, f"runs/{size}"))
        proxy.mode, proxy.only, proxy.cut_after = "cut", only, 50_000
        with pytest.raises(StorageError, match="cannot write"):
            storage.write("chunk", bytes(size))
        assert proxy.faults > 0
        proxy.heal()
        assert storage.list("") == []
        storage.write("chunk", bytes(size))
        assert len(storage.read("chunk") or b"") == size
