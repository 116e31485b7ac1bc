"""Texts of two runs beside each other, as data and in a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.report.side_by_side import matched, moved_words, order, told_for, write_side_by_side
from ig_worker.insight.report.write import write_report
from ig_worker.run.store.run_store import RunStore
from jobs import compare as job
from tests.insight.conftest import make_labelled_rows, make_quarantine, make_row, make_table, make_valued_rows
from tests.insight.pages import EVIL

LONG = "[CLS] " + "never bor ##ing film with a great many words " * 8 + "[SEP]"


def a_run(place: Path, rows: list[dict], **manifest: object) -> RunStore:
    store = RunStore(str(place))
    store.manifest.write({"fingerprint": "f00d", **manifest})
    store.results.commit(0, make_table(rows), make_quarantine(0), "f00d")
    return store


def said(id: str, prediction: int, sure: float = 0.75, label: int | None = 1, **changes: object) -> dict:
    """A text of two classes, of which the predicted one is explained."""
    probabilities = [1 - sure, sure] if prediction else [sure, 1 - sure]
    changes = {"text": "[CLS] good film [SEP]", "attributions": [0.0, 0.5, -0.1, 0.0], **changes}
    return make_row(
        id=id, label=label, prediction=prediction, target=prediction, probabilities=probabilities,
        target_probability=sure, **changes,
    )  # fmt: skip


def page(tmp_path: Path, before: list[dict], now: list[dict], texts: int = 40, **manifest: object) -> str:
    """The page of two runs."""
    old, new = a_run(tmp_path / "a", before, **manifest), a_run(tmp_path / "b", now, **manifest)
    return Path(write_side_by_side(new, old, write_comparison(new, old), texts)).read_text()


def shown(text: str) -> list[str]:
    """The ids of the texts in the order of the page."""
    return re.findall(r'<span class="id">(.*?)</span>', text)


def test_flipped_texts_come_first_the_surest_mistake_in_front_then_those_that_moved_most(tmp_path: Path) -> None:
    before = [
        *(said(id, 1) for id in ("lost-a", "lost-b", "little", "much", "same")),
        said("won", 0), said("unknown", 0, label=None),
    ]  # fmt: skip
    now = [
        said("lost-a", 0, 0.6), said("lost-b", 0, 0.9), said("won", 1, 0.99), said("unknown", 1, 0.8, label=None),
        said("little", 1, attributions=[0.0, 0.5, -0.2, 0.0]), said("much", 1, attributions=[0.0, -0.5, 0.1, 0.0]),
        said("same", 1),
    ]  # fmt: skip
    text = page(tmp_path, before, now)
    assert shown(text) == ["lost-b", "lost-a", "unknown", "won", "much", "little"]
    assert re.findall(r'<h3 id="(\w+)"', text) == ["lost", "flipped", "moved"]
    assert "100.0% of the attribution moved" in text
    assert "no label" in text


def test_texts_of_one_run_only_are_not_shown(tmp_path: Path) -> None:
    text = page(tmp_path, [said("a", 1), said("both", 1)], [said("b", 0), said("both", 0)])
    assert shown(text) == ["both"]
    assert "1 only before, 1 only now" in text


def test_what_the_data_say_is_taken_from_the_later_run(tmp_path: Path) -> None:
    text = page(tmp_path, [said("a", 1, label=None)], [said("a", 0, label=1)])
    assert re.findall(r'class="badge (\w+)"', text) == ["right", "wrong"]
    assert '<h3 id="lost">' in text


def test_what_is_beyond_the_limit_is_counted(tmp_path: Path) -> None:
    before, now = ([said(f"{i}", p) for i in range(5)] for p in (1, 0))
    before.append(said("m", 1))
    now.append(said("m", 1, attributions=[0.0, 0.1, 0.5, 0.0]))
    text = page(tmp_path, before, now, texts=2)
    assert shown(text) == ["0", "1"]
    assert "Not shown: 3 that got wrong, 1 whose attribution moved." in text
    assert shown(page(tmp_path, before, now, texts=0)) == []


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    tokens = {"tokens": ["[CLS]", EVIL, "film", "[SEP]"]}
    text = page(
        tmp_path, [said(EVIL, 1, **tokens)], [said(EVIL, 0, **tokens)],
        config={"model": EVIL, EVIL: EVIL}, data={"name": EVIL, "class_names": [EVIL, EVIL]},
    )  # fmt: skip
    assert "<script" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;") > 4
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_of_two_classes_both_maps_are_told_for_the_class_explained_now(tmp_path: Path) -> None:
    before, now = said("a", 1, 0.75, contrast=None), said("a", 0, 0.75, attributions=[0.0, -0.5, 0.1, 0.0])
    turned = told_for(before, 0)
    assert (turned["target"], turned["target_probability"], turned["delta"]) == (0, 0.25, -0.001)
    assert turned["attributions"] == now["attributions"]
    assert told_for(before, 1) is before
    contrast = told_for({**before, "contrast": 0, "target_probability": 0.5}, 0)
    assert (contrast["target"], contrast["contrast"], contrast["target_probability"]) == (0, 1, -0.5)
    text = page(tmp_path, [before], [now])
    assert "not the same class explained" not in text
    assert text.count("explained: class 0") == 2


def test_of_more_classes_other_targets_are_told_apart_and_a_common_one_is_found(tmp_path: Path) -> None:
    before, now = (make_row(id="a", prediction=t, target=t, probabilities=[0.2, 0.4, 0.4]) for t in (1, 2))
    assert "not the same class explained" in page(tmp_path, [before], [now])
    second = {**now, "target": 1, "rank": 1}
    assert matched([before], [now, second]) == (before, second)
    assert "not the same class explained" not in page(tmp_path, [before], [now, second])


def test_words_that_moved_are_those_of_both_texts_whatever_their_pieces() -> None:
    old = make_row("[CLS] never bor ##ing film film cut [SEP]", [0, 0.5, 0.1, 0.2, -0.1, -0.1, 0.3, 0])
    new = make_row("[CLS] Nev ##er boring film film [SEP]", [0, 0.2, 0.3, -0.1, -0.1, -0.2, 0])
    found = moved_words(old, new)
    assert [row["word"] for row in found] == ["boring", "film"]
    assert found[0] == {"word": "boring", "before": "+0.3000", "now": "-0.1000", "change": "-0.4000"}


def test_networks_with_other_tokenizers_have_a_map_each(tmp_path: Path) -> None:
    before = said("a", 1, text="[CLS] bor ##ing film [SEP]", attributions=[0, 0.1, 0.2, -0.1, 0])
    now = said("a", 0, text="[CLS] boring fi ##lm [SEP]", attributions=[0, 0.4, 0.2, 0, 0])
    text = page(tmp_path, [before], [now])
    assert ">##" not in text
    assert re.findall(r"<li><strong>(\w+)</strong>", text) == ["boring", "film"]


def test_of_several_labels_the_surest_of_those_that_changed_decides(tmp_path: Path) -> None:
    def rows(first: list[float], second: list[float]) -> list[dict]:
        one, two = make_labelled_rows(2)
        return [
            {**row, "probabilities": p, "labels": [0], "target": 0, "id": id}
            for row, p, id in ((one, first, "a"), (two, second, "b"))
        ]

    before, now = rows([0.9, 0.1, 0.1], [0.9, 0.1, 0.1]), rows([0.9, 0.6, 0.1], [0.9, 0.1, 0.95])
    text = page(tmp_path, before, now, data={"class_names": ["joy", "ire", "woe"]})
    assert shown(text) == ["b", "a"]
    assert "✗ woe 0.950" in text
    assert "Every label right" in text


def test_of_numbers_half_the_places_are_those_that_changed_most(tmp_path: Path) -> None:
    before = make_valued_rows(6)
    now = [{**row, "probabilities": [row["probabilities"][0] + i]} for i, row in enumerate(before)]
    now[1] |= {"attributions": [-a for a in now[1]["attributions"]]}
    text = page(tmp_path, before, now, texts=3)
    assert shown(text) == ["row-5", "row-4", "row-1"]
    assert "Numbers changed by" in text
    assert "explained:" not in text


def test_settings_that_differ_are_told_and_others_not(tmp_path: Path) -> None:
    old = a_run(tmp_path / "a", [said("a", 1)], config={"model": "old", "layer": "word", "n_steps": 50})
    new = a_run(tmp_path / "b", [said("a", 1)], config={"model": "new", "layer": "word"})
    text = Path(write_side_by_side(new, old, write_comparison(new, old))).read_text()
    table = re.findall(r'<th scope="row">(.*?)</th><td><code>(.*?)</code></td><td><code>(.*?)</code>', text)
    assert table == [("model", "old", "new"), ("n steps", "50", "–")]
    assert "No prediction has flipped, and no attribution has moved." in text


def test_order_goes_by_id_where_nothing_else_decides(tmp_path: Path) -> None:
    old, new = a_run(tmp_path / "a", [said(i, 1) for i in "ba"]), a_run(tmp_path / "b", [said(i, 0) for i in "ba"])
    write_comparison(new, old)
    assert [pair.id for pair in order(new.aggregates.read("compare"), {}, 9)] == ["a", "b"]


def test_the_job_prints_the_place_and_the_report_leaves_the_page_alone(tmp_path: Path, capsys) -> None:
    a_run(tmp_path / "a", [said("a", 1)])
    later = a_run(tmp_path / "b", [said("a", 0)])
    words = [str(tmp_path / "a"), str(tmp_path / "b")]
    place = tmp_path / "b" / "report" / "compare" / "index.html"
    assert job.main(words) == 0
    assert not place.exists()
    assert job.main([*words, "--report", "--texts", "3"]) == 0
    assert f"report       {place}" in capsys.readouterr().out
    text = place.read_text()
    write_report(later)
    write_report(later)
    assert place.read_text() == text
    assert job.main([*words, "--report", "--texts", "-1"]) == 1
    assert "--texts is -1; expected 0 or more" in capsys.readouterr().err


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with long words, a long id, and settings that differ."""
    place, attributions = tmp_path_factory.mktemp("sides"), [0.01 * (i % 7 - 3) for i in range(len(LONG.split()))]
    tokens = [*LONG.split()[:-2], "w" * 300, "[SEP]"]
    texts = [said(id, 1, text=LONG, attributions=attributions, tokens=tokens) for id in ("a", "i" * 200)]
    moved = [{**row, "attributions": attributions[::-1]} for row in texts]
    old = a_run(place / "a", texts, config={"model": "m" * 150})
    new = a_run(place / "b", moved, config={"model": "n" * 150, "s" * 99: "t" * 300})
    return Path(write_side_by_side(new, old, write_comparison(new, old)))


@pytest.mark.parametrize(("width", "beside"), [(390, False), (1280, True)])
def test_the_maps_are_beside_each_other_where_there_is_room(driver, wide: Path, width: int, beside: bool) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        driver.get(wide.resolve().as_uri())
        found = driver.execute_script(
            "return [...document.querySelectorAll('.sides')].map((sides) => [...sides.querySelectorAll('.heat')]"
            ".map((map) => map.getBoundingClientRect()).map((box) => [box.left, box.top, box.right, box.bottom]))"
        )
        inside, whole = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert whole == width
    assert inside <= width
    assert len(found) == 2
    for (left, _, right, bottom), (other_left, other_top, other_right, _) in found:
        assert (right <= other_left) if beside else (left == other_left and bottom <= other_top)
        assert max(right, other_right) <= width
    assert [entry["message"] for entry in driver.get_log("browser")] == []
