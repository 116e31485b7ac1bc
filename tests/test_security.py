"""What .github/SECURITY.md says of the code, held against the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {path: ast.parse(path.read_text()) for room in ("ig_worker", "jobs") for path in (ROOT / room).rglob("*.py")}
CARRY_CODE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "torch", "PIL"}


def imports() -> Iterator[tuple[str, str]]:
    """Each source with each package that it imports."""
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((path.name, name.name.partition(".")[0]) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path.name, (node.module or "").partition(".")[0]


def calls(*names: str) -> Iterator[tuple[str, dict[str | None, object]]]:
    """Place and constant keywords of each call of something whose name, with a dot before it, ends like that."""
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and f".{ast.unparse(node.func)}".endswith(names):
                constants = {
                    word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)
                }
                yield f"{path.name}:{node.lineno}", constants


def test_only_the_reader_that_checks_every_opcode_knows_pickles() -> None:
    found = {(source, package) for source, package in imports() if package in CARRY_CODE}
    assert found == {("safe_npz.py", "pickle")}


def test_numpy_reads_and_writes_without_pickles() -> None:
    found = list(calls(".np.load", ".write_array"))
    assert found
    assert [place for place, words in found if words.get("allow_pickle") is not False] == []


def test_whatever_is_loaded_by_transformers_is_on_disk_and_brings_no_code() -> None:
    found = list(calls(".from_pretrained"))
    assert found
    assert [place for place, words in found if words.get("trust_remote_code") is not False] == []
    assert [place for place, words in found if words.get("local_files_only") is not True] == []


def test_no_program_is_loaded_as_a_model_or_run_from_text() -> None:
    carriers = (".load_model", ".load_explainer", ".model_from_json", ".eval", ".exec", ".os.system")
    assert list(calls(*carriers)) == []


def test_no_template_switches_escaping_off() -> None:
    templates = list((ROOT / "ig_worker").rglob("*.html"))
    assert templates
    assert [
        path for path in templates if "|safe" in (text := path.read_text().replace(" ", "")) or "autoescape" in text
    ] == []
    assert [words["autoescape"] for _, words in calls(".Environment")] == [True]
