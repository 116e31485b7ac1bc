"""The house's rules: which room may import which, and who may import what from outside."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ig_worker.run.store.run_store import RunStore
from tests.run.made_runs import CHUNK, explained, quarantined

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("data", "models", "explain", "run", "insight")  # in the order in which data walks
SUB_ROOMS = {  # in their order, too; a file of the room itself is above them all, but for those that use their folders
    "models": ("encoders",),
    "run": ("store", "chunk", "dispatch", "steps"),
    "insight": ("tables", "heat", "compare", "findings", "export", "report", "notebook", "night"),
}
USES_ITS_FOLDERS = {"models"}
OWNERS = {
    "tensorflow": {"models", "explain"},
    "tf_keras": {"models", "explain"},
    "keras": {"models", "explain"},
    "transformers": {"models"},
    "tokenizers": {"models"},
    "sentencepiece": {"models"},
    "huggingface_hub": {"models"},
    "alibi": {"explain"},
    "ray": {"run"},
    "jinja2": {"insight"},
    "matplotlib": {"insight"},
    "scipy": {"insight"},
    "datasketch": {"insight"},
}
TOP_LEVEL = {"pyproject.toml", "README.md", "cluster.yaml", "Makefile", "LICENSE", "requirements.lock"}
FOLDERS = {"jobs", "ig_worker", "tests"}
FILES = sorted((ROOT / "ig_worker").rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str | None:
    parts = path.relative_to(ROOT / "ig_worker").parts
    return parts[0] if len(parts) > 1 else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    room = room_of(path)
    allowed = set() if room is None else set(ROOMS[: ROOMS.index(room) + 1])
    if path.name == "__init__.py" and room is None:
        allowed = {"explain", "insight"}  # the door for notebooks
    inside = {name.split(".")[1] for name in imports(path) if name.startswith("ig_worker.")}
    assert inside - {"errors", "schema", "__version__"} <= allowed
    assert not [name for name in imports(path) if name.split(".")[0] == "jobs"]


@pytest.mark.parametrize("room", SUB_ROOMS)
def test_a_sub_room_imports_only_from_those_above_it(room: str) -> None:
    order = SUB_ROOMS[room]
    folder = ROOT / "ig_worker" / room
    assert {path.parent.name for path in folder.rglob("*.py")} - {room} == set(order)
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        own = order if room in USES_ITS_FOLDERS else ()
        allowed = order[: order.index(parts[0]) + 1] if len(parts) > 1 else own
        found = {name.split(".")[2] for name in imports(path) if name.startswith(f"ig_worker.{room}.")}
        assert found & set(order) <= set(allowed), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_are_imported_only_by_their_rooms(path: Path) -> None:
    room = room_of(path)
    for name in imports(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or room in owners, f"{name} belongs in {owners}"


def test_jobs_do_not_import_each_other() -> None:
    for path in (ROOT / "jobs").glob("*.py"):
        others = {".".join(name.split(".")[:2]) for name in imports(path) if name.split(".")[0] == "jobs"}
        assert others <= {"jobs._cli", "jobs._parser", "jobs._settings", "jobs._signals", "jobs._ending"}, path


def test_the_package_the_command_a_models_files_and_the_status_job_import_nothing_heavy() -> None:
    heavy = ("tensorflow", "ray", "transformers", "alibi", "matplotlib")
    code = "import ig_worker, ig_worker.models.files, jobs.__main__, jobs.status, sys; "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_status_of_a_run_with_quarantined_rows_needs_no_pandas(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path))
    store.chunks.write(0, CHUNK, {})
    store.results.commit(0, explained("a"), quarantined(1, 2), "print")
    store.manifest.write({"state": "stopped"})
    code = f"import sys; from jobs.status import main; main([{str(tmp_path)!r}]); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "2 quarantined" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_the_top_level_holds_the_settled_names_only() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    names = {Path(name).parts[0] for name in listed}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL | FOLDERS


def test_the_houses_page_shows_each_folder_with_what_it_is_for() -> None:
    page = (ROOT / "ig_worker" / "README.md").read_text()
    tree = re.search(r"```\nig_worker/\n(.*?)```", page, re.DOTALL)
    shown, above = [], ""
    for indent, name in re.findall(r"^( +)(\w+)/ +\S.*$", tree[1], re.MULTILINE):
        above = name if len(indent) == 2 else above
        shown.append(name if len(indent) == 2 else f"{above}/{name}")
    assert shown == [name for room in ROOMS for name in (room, *(f"{room}/{sub}" for sub in SUB_ROOMS.get(room, ())))]
    folders = {path.parent.relative_to(ROOT / "ig_worker").as_posix() for path in FILES} - {"."}
    assert set(shown) == folders
