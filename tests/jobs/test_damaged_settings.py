"""A settings file as a slip of the hand or a damaged disk leaves it: settings come out, or one line says why not."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import example, given

from ig_worker.errors import UsageError
from ig_worker.run.config import ExplainConfig
from jobs._settings import PRESETS, read_settings
from tests.fuzz import damaged, one_line, quick

NIGHT = b"""# every setting that a night has
dataset = "reviews.parquet"
model = 'model'
method = "gausslegendre"
n-steps = 5
audit = 0.25
limit = 1_000
keep_hidden = true
max-quarantined = "5%"
"""


def read(path: Path) -> ExplainConfig:
    return read_settings(argparse.Namespace(config=str(path)), ExplainConfig)


def test_an_undamaged_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_bytes(NIGHT)
    config = read(tmp_path / "night.toml")
    assert (config.n_steps, config.audit, config.limit, config.keep_hidden) == (5, 0.25, 1000, True)


@quick
@given(content=damaged(NIGHT, *(path.read_bytes() for path in PRESETS.glob("*.toml"))))
@example(content=b"a = " + b"[" * 100_000)
@example(content=b"limit = " + b"9" * 5000)
@example(content=NIGHT + b'target = "' + b"9" * 5000 + b'"')
@example(content=NIGHT + b'actors = "' + b"9" * 5000 + b'"')
def test_a_damaged_file_gives_settings_or_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "night.toml").write_bytes(content)
    with one_line(UsageError, longest=6000):  # a value is shown whole
        config = read(tmp_path / "night.toml")
        config.check()
        kinds = {field.name: field.metadata["kind"] for field in fields(config)}
        assert all(value is None or type(value) is kinds[name] for name, value in asdict(config).items())


@pytest.mark.parametrize("name", ["no\0file.toml", "night\n.toml", ".", "x" * 300])
def test_a_name_that_is_no_file_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--config .* cannot be read") as caught:
        read(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1
