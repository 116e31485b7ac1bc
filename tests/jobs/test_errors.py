"""What a user can get wrong costs one line and exit code 1, and nothing is started."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jobs import aggregate, explain, finetune, prepare, report, status

REVIEWS = '{"id": "a", "text": "good film", "label": 1}\n'


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


@pytest.fixture
def place(tmp_path: Path, tiny_models: dict[str, Path]) -> Path:
    """A folder with reviews, and a model that can be spoiled."""
    (tmp_path / "reviews.jsonl").write_text(REVIEWS)
    shutil.copytree(tiny_models["distilbert"], tmp_path / "model")
    return tmp_path


def run(place: Path, *changes: str) -> int:
    usual = ["--model", str(place / "model"), "--run", str(place / "run")]
    usual += [] if "--dataset" in changes else ["--dataset", str(place / "reviews.jsonl")]
    return explain.main([*usual, *changes])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--text-column", "body"], "'body'"),
        (["--pair-column", "body"], "'body'"),
        (["--pair-column", "text", "--max-length", "16"], "--pair-column is 'text', which is the column of the first"),
        (["--pair-column", "text", "--text-style", "plain"], "--text-style is 'plain', which puts nothing between"),
        (["--label-column", "stars"], "'stars'"),
        (["--dataset", "nowhere.csv"], "nowhere.csv"),
        (["--dataset", "reviews.xml"], "reviews.xml"),
        (["--dataset", "hf:imdb"], "hf:imdb"),
        (["--dataset", ""], "--dataset is missing"),
        (["--dataset", "demo.csv", ""], "--dataset is ''"),
        (["--offset", "5"], "offset"),
        (["--model", ""], "--model is missing"),
        (["--preset", "best"], "--preset is 'best'"),
        (["--preset", "sst-2022"], "did you mean sst2-2022?"),
        (["--dataset", "imbd"], "--dataset imbd is the name of no data set, file or folder"),
        (["--dataset", "imbd"], "did you mean imdb?"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--method", "gausslegendre", "--n-steps", "0"], "--n-steps is 0; expected at least 1"),
        (["--layer", "block:3"], "--layer is 'block:3'; expected embeddings, or block:0 to block:2"),
        (["--max-length", "65"], "--max-length is 65; expected at most 64"),
        (
            ["--max-length", "16", "--target", "2"],
            "--target is '2'; expected predicted, label, all, top:K, a class from 0 to 1 or its name",
        ),
        (["--max-length", "16", "--actors", "none"], "--actors is 'none'"),
    ],
)
def test_wrong_settings_and_inputs(place: Path, capsys, changes: list[str], message: str) -> None:
    length = [] if "--max-length" in changes else ["--max-length", "16"]
    assert run(place, *length, *changes) == 1
    assert message in one_line(capsys)
    assert not (place / "run").exists()


def test_a_model_directory_without_weights(place: Path, capsys) -> None:
    next((place / "model").glob("*.h5")).unlink()
    assert run(place, "--max-length", "16") == 1
    line = one_line(capsys)
    assert "has no weights; expected model.safetensors or tf_model.h5; write it with save_pretrained" in line
    assert not (place / "run").exists()


def test_a_pickle_bomb_is_refused_before_it_goes_off(place: Path, capsys) -> None:
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([0, 0, 0], object), allow_pickle=True)
    header = member.getvalue()[: member.getvalue().index(b"\x80")]
    with zipfile.ZipFile(place / "imdb.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", header + pickle.dumps(Bomb(place / "owned"), protocol=2))
    (place / "imdb_word_index.json").write_text('{"good": 1}')
    assert run(place, "--max-length", "16", "--dataset", str(place / "imdb.npz")) == 1
    assert "imdb.npz" in one_line(capsys)
    assert not (place / "owned").exists()
    assert not (place / "run").exists()


def test_a_run_that_cannot_be_written(place: Path, capsys) -> None:
    (place / "file").write_text("")
    assert run(place, "--max-length", "16", "--run", str(place / "file" / "run")) == 1
    assert "cannot" in one_line(capsys)


def test_a_config_file_with_an_unknown_key_or_a_wrong_type(place: Path, capsys) -> None:
    (place / "night.toml").write_text("steps = 5\n")
    assert run(place, "--config", str(place / "night.toml")) == 1
    assert "night.toml sets 'steps'; did you mean n_steps?" in one_line(capsys)
    (place / "night.toml").write_text("colour = 5\n")
    assert run(place, "--config", str(place / "night.toml")) == 1
    assert "sets 'colour'; expected settings among dataset, " in one_line(capsys)
    (place / "night.toml").write_text('n_steps = "5"\n')
    assert run(place, "--config", str(place / "night.toml")) == 1
    assert "sets n_steps to '5'; expected a whole number" in one_line(capsys)


def test_a_flag_beats_the_config_file_and_that_beats_the_default(place: Path) -> None:
    from ig_worker.run.config import ExplainConfig
    from jobs import _cli, _settings

    (place / "night.toml").write_text('n-steps = 7\nmax_length = 20\ndataset = "demo"\n')
    made = _cli.parser("x", None)
    _settings.add_settings(made, ExplainConfig)
    given = made.parse_args(["--config", str(place / "night.toml"), "--n-steps", "9", "--model", "m"])
    config = _settings.read_settings(given, ExplainConfig)
    assert (config.n_steps, config.max_length, config.layer, config.dataset) == (9, 20, "embeddings", "demo")


@pytest.mark.parametrize("job", [status, aggregate, report])
def test_jobs_on_something_that_is_no_run(job, tmp_path: Path, capsys) -> None:
    assert job.main([str(tmp_path)]) == 1
    one_line(capsys)


def test_training_onto_an_existing_directory(place: Path, capsys) -> None:
    assert finetune.main(["--recipe", "tiny", "--dataset", "demo", "--out", str(place / "model")]) == 1
    assert "exists; expected a new directory" in one_line(capsys)


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("reviews.jsonl/model", "reviews.jsonl is not a directory"),
        ("x" * 250, "File name too long"),  # the name of the scratch folder is longer
        ("x" * 300, "File name too long"),
    ],
)
def test_training_onto_a_place_that_cannot_be(place: Path, capsys, out: str, reason: str) -> None:
    before = sorted(place.iterdir())
    assert finetune.main(["--recipe", "tiny", "--dataset", "demo", "--out", str(place / out)]) == 1
    line = one_line(capsys)
    assert line.startswith(f"error: --out {place / out} cannot be made (")
    assert reason in line
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("job", [prepare, finetune])
def test_presets_are_offered_only_where_they_fit(job, capsys) -> None:
    with pytest.raises(SystemExit):
        job.main(["--help"])
    assert "--preset NAME" not in capsys.readouterr().out


def test_help_shows_every_setting_with_its_default(capsys) -> None:
    with pytest.raises(SystemExit):
        explain.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--n-steps INT nodes of a fixed rule (default: 50)" in text
    assert "--dataset DATASET [DATASET ...] demo, imdb, or paths or URIs of .npz, .parquet," in text


def test_prepare_and_status_tell_what_there_is(place: Path, capsys) -> None:
    (place / "reviews.jsonl").write_text(REVIEWS + '{"id": "b", "text": "", "label": 0}\n')
    assert prepare.main(["--dataset", str(place / "reviews.jsonl"), "--run", str(place / "run")]) == 0
    assert "2 rows in 1 chunks" in capsys.readouterr().out
    assert status.main([str(place / "run")]) == 0
    shown = capsys.readouterr().out
    assert "chunks      0 of 1 done (0%)" in shown
    assert "run the same jobs.explain command again" in shown


def test_preparing_again_is_a_no_op_but_other_data_is_refused(place: Path, capsys) -> None:
    flags = ["--dataset", str(place / "reviews.jsonl"), "--run", str(place / "run")]
    assert prepare.main(flags) == 0
    before = {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()}
    assert prepare.main(flags) == 0
    assert {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()} == before
    (place / "reviews.jsonl").write_text(json.dumps({"id": "c", "text": "other", "label": 1}) + "\n")
    capsys.readouterr()
    assert prepare.main(flags) == 1
    assert "was made with another configuration (data:" in one_line(capsys)
