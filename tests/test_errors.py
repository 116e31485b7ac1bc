"""The exception tree."""

from __future__ import annotations

import pickle

import pytest

from ig_worker import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.IgWorkerError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_line_and_survives_the_way_between_processes(kind: type[errors.IgWorkerError]) -> None:
    error = kind("--n-steps is\n0", expected="at least 1", remedy="give more")
    assert str(error) == "--n-steps is 0; expected at least 1; give more"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert type(copy) is kind
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_at_the_top_of_the_file_shows_every_kind(kind: type[errors.IgWorkerError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("tolerence", "did you mean tolerance?"),
        ("--tolerence", "did you mean tolerance?"),
        ("TOLERANCE", "did you mean tolerance?"),
        ("max-lenght", "did you mean max_length?"),
        ("max", "did you mean max_length or max_evaluations?"),
        ("steps", "did you mean n_steps?"),
        ("colour", ""),
        ("--", ""),
        ("", ""),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(word: str, nearest: str) -> None:
    assert errors.did_you_mean(word, ["tolerance", "n_steps", "max_length", "max_evaluations", "limit"]) == nearest


def test_a_row_error_keeps_its_reason_between_processes() -> None:
    error = pickle.loads(pickle.dumps(errors.RowError("label is 9", reason="bad_label")))  # noqa: S301  our own bytes
    assert error.reason == "bad_label"
