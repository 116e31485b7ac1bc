"""The configuration, its identity and its refusals."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from ig_worker import schema
from ig_worker.data.sources import DataSpec
from ig_worker.errors import RunMismatchError, UsageError
from ig_worker.run.config import DataConfig, ExplainConfig, actor_range
from ig_worker.run.identity import fingerprint, identity, refuse_differences, run_identity, settings
from ig_worker.run.steps import preflight

CONFIG = ExplainConfig(dataset="demo", model="m")
FIXED = replace(CONFIG, method="gausslegendre")
NOT_IDENTITY = {field.name for field in fields(DataSpec)} | {"model", "revision"}  # what they name is, by its digest
NOT_IDENTITY |= {
    "actors",
    "gpus_per_actor",
    "audit",
    "max_audit_error",
    "address",
    "lanes",
    "deadline",
    "chunk_timeout",
    "max_quarantined",
    "retry_quarantined",
}


def changed(name: str, default: object) -> object:
    return {bool: True, int: 3, float: 0.25, str: "other", type(None): 3}[type(default)]


@pytest.mark.parametrize("name", [field.name for field in fields(ExplainConfig)])
def test_a_setting_is_in_the_fingerprint_exactly_if_it_decides_the_result(name: str) -> None:
    config = FIXED if name == "n_steps" else CONFIG
    other = replace(config, **{name: changed(name, getattr(config, name))})
    outputs = schema.LABELS if name == "threshold" else schema.CLASSES
    before, after = (fingerprint(run_identity(c, "d", "w", "t", outputs)) for c in (config, other))
    # GPUs do decide it, as the device kind.
    assert (before != after) == (name not in NOT_IDENTITY or name == "gpus_per_actor")


def test_whose_matrix_products_they_are_is_in_the_fingerprint_and_known_to_the_actors(monkeypatch) -> None:
    """A run that is resumed without oneDNN would have rows of both."""
    from ig_worker.run.dispatch import cluster

    found, sent = [], []
    for value in ("1", "0"):
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", value)
        found.append(fingerprint(run_identity(CONFIG, "d", "w", "t")))
        sent.append(cluster._environment().get("TF_ENABLE_ONEDNN_OPTS"))
    assert found[0] != found[1]
    assert sent == [None, "0"]  # a machine of another kind decides for itself, but for a user's wish


@pytest.mark.parametrize("part", ["data", "weights", "tokenizer"])
def test_the_digests_are_in_the_fingerprint(part: str) -> None:
    digests = {"data": "d", "weights": "w", "tokenizer": "t"}
    other = digests | {part: "x"}
    assert run_identity(CONFIG, **digests) != run_identity(CONFIG, **other)
    assert run_identity(CONFIG, **other)[part] == "x"


def test_the_same_rows_asked_for_in_another_way_are_no_difference() -> None:
    refuse_differences("RUN", {"data": "d", "limit": None, "n_steps": 5}, {"data": "d", "limit": 8, "n_steps": 5})
    with pytest.raises(RunMismatchError, match=r"data: d there, e now, limit: None there, 8 now"):
        refuse_differences("RUN", {"data": "d", "limit": None}, {"data": "e", "limit": 8})


def test_secrets_of_a_uri_are_kept_out_of_the_settings() -> None:
    written = settings(replace(CONFIG, dataset="s3://KEY:SECRET@bucket/reviews.csv"))
    assert "SECRET" not in str(written)
    assert written["dataset"] == "s3://...@bucket/reviews.csv"


def test_every_setting_says_what_it_is() -> None:
    for config in (DataConfig, ExplainConfig):
        for setting in fields(config):
            assert setting.metadata["help"], setting.name
    assert "dataset" not in identity(CONFIG)


def test_a_run_with_other_settings_is_refused_with_their_names() -> None:
    message = r"RUN was .* \(layer: embeddings there, block:1 now, n_steps: 50 there, 5 now\)"
    with pytest.raises(RunMismatchError, match=message):
        refuse_differences("RUN", {"n_steps": 50, "layer": "embeddings"}, {"n_steps": 5, "layer": "block:1"})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("chunk_rows", 0),
        ("max_length", 2),
        ("tolerance", 0.0),
        ("tolerance", float("nan")),
        ("max_evaluations", 6),
        ("audit", 1.5),
        ("gpus_per_actor", -1.0),
        ("chunk_timeout", 0.0),
        ("deadline", float("nan")),
        ("cpus_per_actor", 0),
        ("batch_tokens", -1),
        ("actors", "0"),
    ],
)
def test_impossible_values_are_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"--{setting.replace('_', '-')} is '?{value}'?; expected"):
        replace(CONFIG, **{setting: value}).check()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(FIXED, n_steps=0), r"--n-steps is 0; expected at least 1"),
        (replace(CONFIG, n_steps=5), r"--n-steps is 5, which --method adaptive does not read; add --method gauss"),
        (replace(FIXED, tolerance=0.1), r"--tolerance is 0.1, which --method gausslegendre does not read; add --me"),
        (replace(CONFIG, engine="alibi"), r"--engine alibi has no method adaptive; expected a fixed rule; add --meth"),
        (
            replace(FIXED, engine="alibi", precision="tf32"),
            r"--precision is tf32; expected float32 with --engine alibi",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(config: ExplainConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config.check()


def test_settings_that_the_method_does_not_read_are_not_in_its_fingerprint() -> None:
    assert "n_steps" not in identity(CONFIG)
    assert {"tolerance", "max_evaluations"}.isdisjoint(identity(FIXED))


def test_one_gpu_an_actor_is_the_default_where_this_machine_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(preflight.Path, "glob", lambda path, pattern: iter(["/dev/nvidia0"]))
    assert preflight.with_gpus(CONFIG).gpus_per_actor == 1.0
    assert preflight.with_gpus(replace(CONFIG, gpus_per_actor=0.0)).gpus_per_actor == 0.0
    assert preflight.with_gpus(replace(CONFIG, address="ray://head:10001")).gpus_per_actor == 0.0
    monkeypatch.setattr(preflight.Path, "glob", lambda path, pattern: iter([]))
    assert preflight.with_gpus(CONFIG).gpus_per_actor == 0.0


@pytest.mark.parametrize(("text", "expected"), [("auto", (1, 8)), ("3", (1, 3)), ("2:5", (2, 5)), ("1:1", (1, 1))])
def test_numbers_of_actors(text: str, expected: tuple[int, int]) -> None:
    assert actor_range(text, default=8) == expected


@pytest.mark.parametrize("text", ["0", "5:2", "two", "1:", ":3", "-1", "1:2:3", "0:2"])
def test_wrong_numbers_of_actors_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--actors"):
        actor_range(text, default=8)
