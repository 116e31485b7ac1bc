"""Shared by all rooms' tests: tiny networks, made once a session, and where real reviews may lie."""

from __future__ import annotations

import os
from collections import UserDict
from collections.abc import Mapping
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# `make test` has a process for each of two cores. On networks this small a second thread does nothing but wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("machines that are busy", deadline=None)
settings.load_profile("machines that are busy")

# Files that take a minute or more begin first: otherwise one of two processes waits for the other at the end.
LONGEST = {"interruptions", "ray", "conformance", "evaluation", "observability", "nightly", "adaptive", "bad_input"} | {
    "machines", "regression", "autoscaling", "planted_bias", "presets", "pipeline",  # with the heavy tests
}  # fmt: skip
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONGEST)  # which keeps the order otherwise


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Directory of real IMDB reviews; the test is skipped where there is none."""
    if not (REAL_DATA / "imdb.npz").exists():
        pytest.skip("real reviews are not on this machine: no shared/data/imdb.npz beside the repository")
    return REAL_DATA


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Directories of random 3-block networks of width 32, by architecture, as save_pretrained writes them.

    Each is made when it is asked for first; ``bert-head`` and ``distilbert-head`` have a head on all positions.
    """
    return _Made(tmp_path_factory.mktemp("models"))


class _Made(UserDict[str, Path]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> Path:
        from tests.tiny import save_tiny_head_model, save_tiny_model

        encoder, head = name.removesuffix("-head"), name.endswith("-head")
        self[name] = (save_tiny_head_model if head else save_tiny_model)(self._folder / name, encoder)
        return self[name]
