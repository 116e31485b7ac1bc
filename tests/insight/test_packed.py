from __future__ import annotations

import json

import numpy as np
import pytest

from ig_worker.insight.report.js_scripts import json_text, named_by_content, packed, packed_varints, script
from tests.insight import scripts


@pytest.mark.parametrize("values", [[], [0], [127, 128, 16_383, 16_384, 2**32 - 1], list(range(0, 100_000, 7))])
def test_whole_numbers_survive_as_varints(values):
    assert scripts.varints(packed_varints(values)) == values


def test_a_small_number_takes_one_byte():
    assert len(packed_varints(np.zeros(300))) == 400  # base64


def test_arrays_survive_packing():
    values = np.array([-1.5, 0, np.inf], np.float64)
    assert scripts.numbers(packed(values, np.float32), "f4").tolist() == values.tolist()


@pytest.mark.parametrize("text", ["</script><script>", "<!--", "]]>", "a & b", "\u2028\u2029", "ü \U0001f600", '"\\'])
def test_no_text_can_leave_a_script(text):
    made = json_text({text: [text]})
    assert not set("<>&") & set(made)
    assert made.isascii()
    assert json.loads(made) == {text: [text]}


def test_what_is_no_number_is_refused_as_json_knows_none():
    with pytest.raises(ValueError, match="JSON"):
        script("f", [float("nan")])


def test_another_content_has_another_name():
    names = {named_by_content("data/index-00000", text) for text in ("a", "b", "a")}
    assert len(names) == 2
    assert all(name.startswith("data/index-00000-") and name.endswith(".js") for name in names)
