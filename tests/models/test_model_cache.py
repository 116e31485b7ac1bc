"""A model at a URI: fetched once a machine, again when it changes, and never a part of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from ig_worker.errors import ModelError
from ig_worker.models import cache
from ig_worker.models.files import find_model, on_this_machine
from tests.run.s3 import make_bucket, s3_server, uri


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3_server() as found:
        make_bucket(uri(found, ""))
        yield found


@pytest.fixture
def place(port: int, tiny_models: dict[str, Path], request: pytest.FixtureRequest) -> str:
    """The URI, with its secret, of a copy of the tiny model."""
    found = uri(port, f"models/{request.node.name}")
    filesystem, root = pafs.FileSystem.from_uri(found)
    pafs.copy_files(str(tiny_models["distilbert"]), root, destination_filesystem=filesystem)
    return found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ig_worker" / "models"


def test_it_is_fetched_once_and_is_the_same_model(place: str, home: Path, tiny_models, monkeypatch) -> None:
    first = find_model(place)
    local = find_model(str(tiny_models["distilbert"]))
    assert (first.weights_digest, first.tokenizer_digest) == (local.weights_digest, local.tokenizer_digest)
    assert [path.name for path in home.iterdir()] == [Path(first.directory).name]
    monkeypatch.setattr(cache, "_copy", None)  # a second copy would fail
    assert find_model(place) == first
    assert on_this_machine(first) == first


def test_a_changed_model_is_fetched_anew_and_one_of_another_night_refused(place: str) -> None:
    first = find_model(place)
    filesystem, root = pafs.FileSystem.from_uri(place)
    with filesystem.open_output_stream(f"{root}/vocab.txt") as stream:
        stream.write((Path(first.directory) / "vocab.txt").read_bytes() + b"more\n")
    second = find_model(place)
    assert second.tokenizer_digest != first.tokenizer_digest
    with pytest.raises(ModelError, match=r"is not the driver's: its weights or tokenizer differ; give --model"):
        on_this_machine(first)


def test_a_copy_that_was_cut_off_leaves_nothing(place: str, home: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "_BLOCK", "no number")
    with pytest.raises(TypeError):
        find_model(place)
    assert list(home.iterdir()) == []
    monkeypatch.undo()


def test_copies_that_nobody_has_asked_for_are_removed(place: str, home: Path, monkeypatch) -> None:
    (home / "old").mkdir(parents=True)
    (home / "new").mkdir()
    os.utime(home / "old", (0, 0))
    find_model(place)
    assert sorted(path.name for path in home.iterdir() if len(path.name) < 32) == ["new"]


def test_messages_have_neither_key_nor_secret(place: str, port: int) -> None:
    nowhere = uri(port, "models/nowhere")
    for bad in (nowhere, nowhere.replace("testing", "wrong"), "s4://KEY:SECRET@x/y"):
        with pytest.raises(ModelError) as caught:
            find_model(bad)
        assert "@" not in str(caught.value).replace("...@", "")
        assert "SECRET" not in str(caught.value)
    assert "@" not in find_model(place).name.replace("...@", "")
    assert place not in repr(find_model(place))


def test_a_directory_that_this_node_lacks_or_has_otherwise_is_refused(tiny_models, tmp_path: Path) -> None:
    files = find_model(str(tiny_models["distilbert"]))
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(
        ModelError, match=rf"model directory {nowhere} is not on node .*; give --model a directory that all"
    ):
        on_this_machine(replace(files, directory=nowhere))
    other = shutil.copytree(tiny_models["bert"], tmp_path / "other")
    with pytest.raises(ModelError, match="is not the driver's"):
        on_this_machine(replace(files, directory=str(other)))


def test_a_hub_model_is_the_drivers_revision_on_every_node(tiny_models, tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub

    asked = []

    def download(name: str, revision: str | None, **_: object) -> str:
        asked.append((name, revision))
        place = tmp_path / "hub" / "snapshots" / ("c0ffee" if revision in ("main", None) else revision)
        return str(place if place.exists() else shutil.copytree(tiny_models["distilbert"], place))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    on_this_machine(find_model("someone/model", "main"))
    assert asked == [("someone/model", "main"), ("someone/model", "c0ffee")]
