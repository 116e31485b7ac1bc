"""What ``--target`` says."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.errors import RowError, UsageError
from ig_worker.explain.target_setting import read_target
from ig_worker.explain.targets import Scalar, Target

NAMES = ("negative", "Neutral", "non-toxic", "positive")
OUTPUTS = np.array([0.1, 0.2, 0.4, 0.3], np.float32)


@pytest.mark.parametrize(
    ("setting", "label", "wanted"),
    [
        ("predicted", None, [Scalar(2)]),
        ("label", 3, [Scalar(3)]),
        ("0", None, [Scalar(0)]),
        ("POSITIVE", None, [Scalar(3)]),
        ("non-toxic", None, [Scalar(2)]),
        ("all", None, [Scalar(2), Scalar(3), Scalar(1), Scalar(0)]),
        ("top:1", None, [Scalar(2)]),
        ("top:3", None, [Scalar(2), Scalar(3), Scalar(1)]),
        ("3-0", None, [Scalar(3, 0)]),
        ("positive-negative", None, [Scalar(3, 0)]),
        ("non-toxic-neutral", None, [Scalar(2, 1)]),
        ("neutral-non-toxic", None, [Scalar(1, 2)]),
        ("predicted-label", 1, [Scalar(2, 1)]),
        ("predicted-label", 2, [Scalar(2, 2)]),  # right: nothing speaks for one against the other
        ("label-predicted", 1, [Scalar(1, 2)]),
        ("predicted-second", None, [Scalar(2, 3)]),
        ("label-second", 0, [Scalar(0, 2)]),
        ("predicted-0", None, [Scalar(2, 0)]),
    ],
)
def test_a_setting_names_scalars(setting: str, label: int | None, wanted: list[Scalar]) -> None:
    targets = read_target(setting, NAMES).targets(label)
    assert [target.of(OUTPUTS) for target in targets] == wanted
    assert len(targets) <= read_target(setting, NAMES).most


@pytest.mark.parametrize(
    "setting", ["", "-", "good", "4", "-1", "0-4", "0-0", "second", "second-0", "predicted-", "All", "top", "1 - 0"]
)
def test_what_names_no_class_is_refused_with_what_there_is(setting: str) -> None:
    with pytest.raises(UsageError, match=r"--target is .*; expected predicted, label, all, top:K, a class from 0 to 3"):
        read_target(setting, NAMES)


@pytest.mark.parametrize("setting", ["top:0", "top:5", "top:", "top:x", "top:9999999999"])
def test_more_than_there_are_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match="expected top:1 to top:4, the model's classes"):
        read_target(setting, NAMES)


@pytest.mark.parametrize(
    ("setting", "label"), [("label", None), ("label", 4), ("predicted-label", None), ("label-0", -1)]
)
def test_a_row_without_the_label_that_is_asked_for_is_a_fault_of_that_row(setting: str, label: int | None) -> None:
    with pytest.raises(RowError, match=f"label is {label}; expected 0 to 3"):
        read_target(setting, NAMES).targets(label)


def test_several_labels_are_predicted_above_the_threshold_and_one_at_least() -> None:
    setting = read_target("predicted", NAMES, above=0.25)
    assert setting.targets(None) == ()
    assert setting.decided((), OUTPUTS) == (Target(2), Target(3))
    assert setting.decided((), OUTPUTS / 10) == (Target(2),)
    assert setting.decided((), OUTPUTS * 4) == (Target(2), Target(3), Target(1), Target(0))


def test_of_several_labels_each_that_the_data_says_is_a_target() -> None:
    setting = read_target("label", NAMES, above=0.5)
    assert setting.targets(None, [0, 3]) == (Target(0), Target(3))
    assert setting.most == 4
    assert read_target("label-0", NAMES, above=0.5).targets(None, [1]) == (Target(1, minus=0),)
    for labels in (None, []):
        with pytest.raises(RowError, match="label is None"):
            setting.targets(None, labels)
    with pytest.raises(RowError, match="label is 4"):
        setting.targets(None, [4])


@pytest.mark.parametrize("name", ["all", "top:2", "predicted-second", "predicted-0", "1", "label-predicted"])
def test_what_is_decided_is_what_the_outputs_decide(name: str) -> None:
    setting = read_target(name, NAMES)
    targets = setting.targets(2)
    decided = setting.decided(targets, OUTPUTS)
    assert [target.of(-OUTPUTS) for target in decided] == [target.of(OUTPUTS) for target in targets]
    assert not any(target.relative for target in decided)


def test_two_names_that_differ_in_case_alone_are_told_apart() -> None:
    assert read_target("a", ("A", "a")).targets(None) == (Target(1),)
    assert read_target("A", ("A", "a")).targets(None) == (Target(0),)


def test_the_second_of_one_class_is_refused() -> None:
    with pytest.raises(UsageError):
        read_target("predicted-second", ("LABEL_0",))
