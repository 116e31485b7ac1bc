from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ig_worker.errors import StorageError, UsageError
from ig_worker.insight.report import write as report
from ig_worker.insight.report.page import context
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import finish, partial
from ig_worker.insight.tables.evidence import evidence, minimum_documents
from tests.insight.conftest import make_quarantine, make_table

EVIL = '<script>alert("x")</script>\'&amp;'
CONFIG = {"model": "/models/distil", "dataset": "imdb", "method": "gausslegendre", "n_steps": 50, "layer": "embeddings"}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """The elements of a page, its visible text, and that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += f"{data} "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(store) -> str:
    return Path(write_report(store)).read_text(encoding="utf-8")


def folder(store) -> dict[str, str]:
    """Files of the report by name."""
    root = Path(store.place) / "report"
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in root.rglob("*") if path.is_file()}


def test_the_page_needs_only_the_scripts_beside_it(build, rows):
    store = build(rows(30))
    assert write_report(store).endswith("run/report/index.html")
    html = read(store)
    page = Page(html)
    assert not re.search(r"https?:|url\(|@import", html)
    assert {name for name in folder(store) if name.startswith("app/") and name.endswith(".js")} == {
        attributes["src"] for attributes in page.all("script") if attributes.get("src")
    }
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))
    assert page.all("html")[0]["lang"] == "en"
    assert all(attributes.get("scope") for attributes in page.all("th"))


def test_no_script_runs_without_the_nonce_of_this_report(build, rows):
    html = read(build(rows(5)))
    policy = next(m for m in Page(html).all("meta") if m.get("http-equiv") == "Content-Security-Policy")["content"]
    nonce = re.search(r"script-src 'nonce-([A-Za-z0-9+/=]{24})';", policy)[1]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    for attributes in Page(html).all("script"):
        assert attributes.get("nonce") == nonce or attributes["type"] == "application/json"


def test_another_text_has_another_nonce(build, row):
    nonces = [re.search("'nonce-[^']*'", read(build([row(word)])))[0] for word in ("good", "bad")]
    assert nonces[0] != nonces[1]


def test_every_script_is_named_by_its_content_and_ascii_where_it_holds_data(build, rows):
    store = build(rows(30))
    write_report(store)
    for name, text in folder(store).items():
        if name.endswith(".js"):
            assert re.search("-([0-9a-f]{12})[.]js$", name)[1] == hashlib.sha256(text.encode()).hexdigest()[:12]
        if name.startswith("data/"):
            assert text.isascii()
            assert "<" not in text


def test_scripts_of_an_earlier_report_are_removed(build, row, rows):
    store = build(rows(30))
    write_report(store)
    before = folder(store)
    store.write_text("report/data/reviews-00009-0123456789ab.js", "old")
    store.results.commit(1, make_table([row("new words", id="new")]), make_quarantine(0), "f00d")
    write_report(store)
    now = folder(store)
    page = now["index.html"]
    index = [text for name, text in now.items() if name.startswith("data/index-")]
    assert len(index) == 1
    assert all(name in index[0] for name in now if name.startswith("data/reviews-"))
    assert "reviews-00009-0123456789ab.js" not in "".join(now)
    assert {name for name in before if name.startswith("app/")} == {name for name in now if name.startswith("app/")}
    assert next(name for name in now if name.startswith("data/index-")) in page


def test_a_report_that_fails_half_way_leaves_the_last_one_whole(build, row, rows, monkeypatch):
    store = build(rows(30))
    write_report(store)
    before = folder(store)
    store.results.commit(1, make_table([row("new words", id="new")]), make_quarantine(0), "f00d")
    write, full = store.write_text, iter(range(3))

    def fail(name, text):
        if next(full, None) is None:
            raise StorageError("no room")
        return write(name, text)

    monkeypatch.setattr(store, "write_text", fail)
    with pytest.raises(StorageError):
        write_report(store)
    assert before.items() <= folder(store).items()


def test_the_vendored_files_are_those_that_their_list_names():
    vendor = Path(report.__file__).parent / "templates" / "vendor"
    listed = re.findall(r"^(\S+\.js) .* ([0-9a-f]{64})$", (vendor / "README.txt").read_text(), re.M)
    assert dict(listed) == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.glob("*.js")}
    for name in report.LICENCES:
        assert "copyright notice" in (vendor / name).read_text()


def test_every_link_leads_somewhere_and_no_id_is_given_twice(build, rows, quarantine):
    page = Page(read(build(rows(60), quarantined=quarantine(1))))
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    inside = [attributes["href"] for attributes in page.all("a") if not attributes["href"].startswith("#?")]
    assert {href.removeprefix("#") for href in inside} <= set(ids)
    labels = {value for _, attributes in page.elements if (value := attributes.get("aria-labelledby"))}
    assert labels <= set(ids)


def test_everything_from_outside_is_escaped(build, row, quarantine):
    data = [row("[CLS] good [SEP]", id=f"{EVIL}{i}", tokens=["[CLS]", EVIL, "[<b>]"]) for i in range(5)]
    manifest = {
        "config": {**CONFIG, "model": EVIL, "layer": EVIL, EVIL: EVIL},
        "data": {"name": EVIL, "class_names": [EVIL, EVIL], EVIL: 3},
        "versions": {EVIL: EVIL},
        "counts": {EVIL: EVIL},
        "state": EVIL,
    }
    bad = quarantine(2, id=EVIL, reason=EVIL, detail=EVIL)
    html = read(build(data, quarantined=bad, **manifest))
    page = Page(html)
    assert "<script>" not in html
    assert "<b>]" not in html
    assert all(attributes.get("nonce") or attributes["type"] == "application/json" for attributes in page.all("script"))
    assert page.text.count(EVIL) > 20  # shown as it was written, ampersands included
    assert any((attributes.get("title") or "").startswith(EVIL) for attributes in page.all("b"))
    handlers = {name for _, attributes in page.elements for name in attributes if name.startswith("on")}
    assert handlers == set()
    for _, attributes in page.elements:
        for name in attributes.keys() & {"href", "src"}:
            assert re.match(r"#|app/", attributes[name])
    assert {attributes["data-label"] for attributes in page.all("div") if "data-label" in attributes} == {
        f"What pushes towards {EVIL}"
    }


def test_headline_figures_lineage_and_quarantine_are_shown(build, row, quarantine):
    data = [row(id=str(i), label=int(i < 3)) for i in range(4)]
    bad = quarantine(2, reason="empty_text", detail="the text has no words")
    text = " ".join(Page(read(build(data, quarantined=bad, config=CONFIG, versions={"numpy": "1.26.4"}))).text.split())
    for expected in ("75.0%", "of 4 labelled texts", "2 quarantined", "empty_text", "the text has no words"):
        assert expected in text
    assert "distil on imdb" in text
    assert "gausslegendre 50 steps layer embeddings".replace(" ", "") in text.replace(" ", "")
    for expected in ("/models/distil", "numpy 1.26.4", "fingerprint f00d"):
        assert expected in text


def test_an_empty_manifest_is_no_reason_to_fail(build, rows):
    text = Page(read(build(rows(10)))).text
    assert "Attributions" in text
    assert "class 1" in text


@pytest.mark.parametrize("manifest", [{"config": None, "data": []}, {"data": {"rows": None, "class_names": None}}])
def test_a_manifest_of_another_shape_is_no_reason_to_fail(build, row, manifest):
    assert "Texts explained" in read(build([row()], **manifest))


def test_an_unfinished_run_says_so(build, row):
    assert "1 of 12 texts" in read(build([row()], data={"rows": 12}))
    assert "not finished" not in read(build([row()], data={"rows": 1}))


def test_a_run_without_labels_shows_no_accuracy_and_no_confusion(build, row):
    view = context(build([row(label=None)]))
    assert view["tiles"][0]["value"] == "–"
    assert view["confusion"] == {"unlabelled": 1, "names": [], "square": [], "pairs": []}


def test_many_classes_become_a_list_of_confusions(build, rows):
    store = build(rows(200, classes=20))
    view = context(store)["confusion"]
    assert view["square"] == []
    counts = [int(pair["count"]) for pair in view["pairs"]]
    assert len(counts) == 20
    assert counts == sorted(counts, reverse=True)
    assert "The most frequent confusions" in read(store)


def test_a_run_without_rows_is_refused(build):
    with pytest.raises(UsageError, match=r"run jobs\.explain"):
        write_report(build([]))


def test_an_unknown_palette_is_refused(build, row):
    with pytest.raises(UsageError, match="PiYG"):
        write_report(build([row()]), palette="jet")


def test_the_same_run_gives_the_same_page(build, rows):
    store = build(rows(40))
    assert read(store) == read(store)


# Evidence for a class.


def tokens_of(table, data):
    return finish(partial(table(data)))["tokens"]


def test_with_two_classes_evidence_against_one_is_evidence_for_the_other(row, table):
    tokens = tokens_of(table, [row("good", [0.4]), row("good", [-0.2], id="b", prediction=0, target=0)])
    towards = [evidence(tokens, target, True, 1).to_pylist()[0] for target in (0, 1)]
    assert [entry["score"] for entry in towards] == pytest.approx([-0.6 / 22, 0.6 / 22])
    assert [(entry["count"], entry["documents"]) for entry in towards] == [(2, 2), (2, 2)]


def test_with_more_classes_only_the_explained_class_counts(row, table):
    tokens = tokens_of(table, [row("good", [0.4], target=2), row("good", [0.3], id="b", target=0)])
    assert evidence(tokens, 2, False, 1)["score"].to_pylist() == pytest.approx([0.4 / 21])
    assert evidence(tokens, 1, False, 1).num_rows == 0


def test_special_and_rare_tokens_are_no_evidence(row, table):
    tokens = tokens_of(table, [row("[CLS] good rare", [9, 0.1, 9]), row("[CLS] good", [9, 0.1], id="b")])
    assert evidence(tokens, 1, True, 2)["token"].to_pylist() == ["good"]


@pytest.mark.parametrize(("rows", "minimum"), [(1, 2), (200, 4), (1000, 20), (25_000, 20)])
def test_the_least_number_of_documents_grows_with_the_run(rows, minimum):
    assert minimum_documents(rows) == minimum
