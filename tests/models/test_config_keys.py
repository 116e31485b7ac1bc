"""Every key of config.json is followed, or refused, or without effect: for each key that transformers knows."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_worker.errors import ModelError
from ig_worker.models.config_keys import KEYS, check_keys
from ig_worker.models.encoders import ENCODERS, counting_of
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.models.inputs import ModelInput
from ig_worker.models.keys import Use, json_name
from ig_worker.models.recipes import RECIPES
from ig_worker.models.weights import with_shared
from tests.fuzz import quick
from tests.models.checkpoints import copy_of
from tests.pages import between
from tests.tiny import IN_TENSORFLOW

IDS = np.array([[2, 5, 8, 11, 3], [2, 30, 3, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)


def known_to_transformers(kind: type) -> set[str]:
    """The keys that a configuration class has, takes, or gives another name."""
    made = kind()
    taken = {name for base in kind.__mro__[:2] for name in inspect.signature(base.__init__).parameters}
    kept = {name for name in vars(made) if not name.startswith("_")} | set(made.to_dict())
    return (taken | kept | set(made._get_global_generation_defaults()) | set(kind.attribute_map)) - {"self", "kwargs"}


@pytest.mark.parametrize("architecture", IN_TENSORFLOW)
def test_each_key_of_the_installed_transformers_is_decided_on(architecture: str) -> None:
    import transformers

    known = known_to_transformers(getattr(transformers, f"{ENCODERS[architecture].classes}Config"))
    assert len(known) > 60
    assert known - KEYS[architecture].keys() == set()


def test_a_key_that_transformers_would_learn_is_missed() -> None:
    from transformers import BertConfig

    class Later(BertConfig):
        def __init__(self, rotary: bool = False, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.rotary = rotary

    assert known_to_transformers(Later) - KEYS["bert"].keys() == {"rotary"}


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("position_embedding_type", "relative_key", "'absolute' or null"),
        ("is_decoder", True, "false or null"),
        ("add_cross_attention", True, "false or null"),
        ("pruned_heads", {"0": [1]}, "{} or null"),
        ("quantization_config", {"load_in_8bit": True}, "null"),
        ("auto_map", {"AutoModel": "a.B"}, "{} or null"),
        ("transformers_weights", "other.safetensors", "null"),
    ],
)
@pytest.mark.parametrize("base", [False, True])
def test_what_would_be_another_network_is_refused(key: str, value: Any, wanted: str, base: bool) -> None:
    with pytest.raises(ModelError, match=f"config.json has {key} .*expected {wanted}, or no {key}"):
        check_keys({key: value}, "bert", base=base)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["BertForMultipleChoice"], "other heads"),
        (["BertForTokenClassification"], "other heads"),
        (["DistilBertForSequenceClassification"], "other heads"),
        ("MyOwnBert", "one's own code"),
        ([["x"]], "one's own code"),
        ({"a": 1}, "expected"),
        (["TFBertModel"], "without a trained head.*fine-tune it first"),
        (["BertForMaskedLM"], "without a trained head.*fine-tune it first"),
    ],
)
def test_another_class_than_a_sequence_classifier_is_refused(classes: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"config.json has architectures .*{message}"):
        check_keys({"architectures": classes}, "bert")
    check_keys({"architectures": classes}, "bert", base=True)


@pytest.mark.parametrize("classes", [None, [], ["TFBertForSequenceClassification"], "BertForSequenceClassification"])
def test_a_sequence_classifier_is_taken_by_any_name(classes: Any) -> None:
    assert check_keys({"architectures": classes}, "bert") == []


def test_a_key_that_nobody_knows_is_told_and_left_aside() -> None:
    (note,) = check_keys({"my_pooling": "mean", "hidden_size": 8, **{f"x{i}": i for i in range(9)}}, "bert")
    assert note == (
        "config.json has my_pooling, x0, x1, x2, x3 and 5 more, which neither ig-worker nor transformers' Bert reads: "
        "left aside"
    )
    assert check_keys({"my_pooling": "mean", "hidden_act": "gelu"}, "distilbert")[0].startswith(
        "config.json has hidden_act, my_pooling,"
    )


def test_a_class_with_two_numbers_is_told() -> None:
    config = {"id2label": {"0": "neg", "1": "pos"}, "label2id": {"neg": 1, "pos": 0}}
    assert check_keys(config, "bert") == [
        "config.json gives 'neg' two numbers, in id2label and in label2id; id2label counts"
    ]
    assert check_keys(config | {"label2id": {"LABEL_0": 0, "neg": 0}}, "bert") == []


@pytest.fixture(scope="module", params=IN_TENSORFLOW)
def base(request: pytest.FixtureRequest, tiny_models, tmp_path_factory) -> tuple[ModelFiles, Any, Path]:
    """A tiny model, its classifier, and a copy of it whose config.json may be written over."""
    from ig_worker.models.classifier import load_classifier

    files = find_model(str(tiny_models[request.param]))
    copy = copy_of(tiny_models[request.param], tmp_path_factory.mktemp("config") / request.param)
    return files, load_classifier(files), copy


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 130), st.floats(0, 2), st.text(max_size=8),
    st.sampled_from(["gelu", "gelu_new", "relu", "tanh", "silu", "mish", "relative_key", "float16", 1e-5]),
    st.sampled_from([[], {}, ["BertModel"], {"0": [1]}, {"0": "a", "1": "b"}, {"0": "a"}, {"AutoModel": "x.Y"}]),
)  # fmt: skip


@settings(quick, max_examples=40)
@given(data=st.data())
def test_any_other_value_of_a_key_is_refused_or_gives_the_probabilities_of_transformers(base, data) -> None:
    """Of transformers' own network for that configuration, with the weights of the file."""
    from ig_worker.models import network
    from ig_worker.models.runtime import tf

    files, classifier, copy = base
    config = json.loads((Path(files.directory) / "config.json").read_text())
    names = [name for name, key in KEYS[files.shape.architecture].items() if key.use is not Use.FIXED]
    changed = config | {data.draw(st.sampled_from(sorted(names))): data.draw(VALUES)}
    (copy / "config.json").write_text(json.dumps(changed))
    try:
        found = find_model(str(copy))
        theirs = transformers_network(found, classifier)
    except ModelError:
        return
    halves = network.split(with_shared(classifier.weights, found.shape), found.shape, 0)
    text = ModelInput.single(IDS, MASK, counting_of(found.shape))
    counted = {"position_ids": text.positions} if found.shape.unused_positions else {}  # as PyTorch counts them
    wanted = network.outputs(found.shape, theirs(input_ids=IDS, attention_mask=MASK, **counted).logits)
    ours = halves.above(halves.below(text), tf.constant(MASK))
    np.testing.assert_allclose(ours, wanted, atol=2e-6)


def transformers_network(files: ModelFiles, classifier: Any) -> Any:
    """transformers' own network for a config.json, with the weights of `classifier`."""
    from ig_worker.models.pretrained import reference_network

    return reference_network(files, classifier.weights)


@pytest.mark.parametrize("architecture", IN_TENSORFLOW)
def test_a_network_that_is_not_transformers_own_is_refused(tiny_models, architecture: str) -> None:
    from ig_worker.models.agreement import require_agreement
    from ig_worker.models.classifier import load_classifier

    files = find_model(str(tiny_models[architecture]))
    found = load_classifier(files)
    theirs = transformers_network(files, found)
    require_agreement(theirs, found.weights, found.shape)
    changes: list[dict[str, Any]] = [{"activation": "relu"}]
    changes += [{"heads": 2}] if architecture != "mpnet" else []  # it has a table with a column for each head
    changes += [{"activation": "gelu_new"}] if architecture in ("bert", "distilbert") else []  # elsewhere below 1e-4
    for wrong in (replace(found.shape, **change) for change in changes):
        with pytest.raises(ModelError, match=r"logits that differ by .*; expected at most 0\.0001"):
            require_agreement(theirs, found.weights, wrong)


def encoders_table() -> str:
    """The list of encoders on the page on models."""
    lines = [
        "| encoder | `model_type` | published with | training | held at the start against | file |",
        "|---|---|---|---|---|---|",
    ]
    for name, encoder in sorted(ENCODERS.items()):
        file = Path(inspect.getsourcefile(encoder.weights)).name
        recipes = [recipe.name for recipe in RECIPES.values() if recipe.architecture == name and recipe.head is None]
        trained = ", ".join(f"`{recipe}`" for recipe in [*recipes, "encoder"]) if encoder.tensorflow else "PyTorch's"
        against = "transformers' TensorFlow network" if encoder.tensorflow else "none: see below"
        lines.append(
            f"| {encoder.title} | `{name}` | {encoder.tokenizer} | {trained} | {against} | "
            f"[`{file}`](encoders/{file}) |"
        )
    return "\n".join(lines)


def test_the_page_lists_the_encoders() -> None:
    assert between("encoders") == encoders_table()


def keys_table() -> str:
    """The table of the page on models."""
    becomes = {Use.HONOURED: "followed", Use.HARMLESS: "no effect"}
    rows: dict[tuple[str, str, str], list[str]] = {}
    for name in sorted(set().union(*KEYS.values())):
        entries = {kind: KEYS[kind][name] for kind in KEYS if name in KEYS[kind]}
        for key in entries.values():
            titles = {ENCODERS[kind].title for kind, other in entries.items() if other == key}
            others = {encoder.title for encoder in ENCODERS.values()} - titles
            of = "all" if not others else ", ".join(sorted(titles))
            of = f"all but {', '.join(sorted(others))}" if others and len(others) < len(titles) else of
            wanted = " or ".join(f"`{json_name(value)}`" for value in reversed(key.only))
            names = rows.setdefault((becomes.get(key.use, f"refused, unless {wanted}"), key.why, of), [])
            if name not in names:
                names.append(name)
    lines = ["| keys | network | what becomes of them | why |", "|---|---|---|---|"]
    for (fate, why, of), names in sorted(rows.items(), key=lambda row: (row[0][0], row[0][2], row[1])):
        shown = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {shown} | {of} | {fate} | {why.replace('shape.read_shape: ', '')} |")
    return "\n".join(lines)


def test_the_page_has_every_key_and_what_becomes_of_it() -> None:
    assert between("keys") == keys_table()
