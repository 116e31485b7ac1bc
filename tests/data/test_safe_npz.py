import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ig_worker.data import safe_npz
from ig_worker.data.safe_npz import read_reviews
from ig_worker.errors import DataError

HEADER = "{'descr': '|O', 'fortran_order': False, 'shape': (%d,), }"


def npy(body: bytes, count: int = 2) -> bytes:
    """An .npy file with an object array header and any bytes as its pickle."""
    header = (HEADER % count).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def object_array(lists: list[Any]) -> np.ndarray:
    array = np.empty(len(lists), dtype=object)
    array[:] = lists
    return array


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive(path: Path, **members: bytes) -> Path:
    reviews, labels = saved(object_array([[1, 2], [3]])), saved(np.array([1, 0]))
    contents = {"x_train": reviews, "y_train": labels, "x_test": reviews, "y_test": labels} | members
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in contents.items():
            target.writestr(f"{name}.npy", data)
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_reviews(path)
    return str(caught.value)


def test_what_numpy_saved_is_read_back(tmp_path: Path) -> None:
    lists = [[1, 300, 70_000], [], [5] * 2000]
    path = archive(tmp_path / "a.npz", x_test=saved(object_array(lists)), y_test=saved(np.array([1, 0, 1])))
    reviews = read_reviews(path)["test"]
    assert [ranks.tolist() for ranks in reviews.ranks] == lists
    assert reviews.labels.tolist() == [1, 0, 1]
    assert reviews.labels.dtype == np.int32


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_pickle_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    body = pickle.dumps(object_array([[1, 2], [40_000]]), protocol=protocol)
    assert read_reviews(archive(tmp_path / "a.npz", x_train=npy(body)))["train"].ranks[1].tolist() == [40_000]


def test_a_pickle_as_python_2_wrote_it_is_read(tmp_path: Path) -> None:
    body = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    body += b"(K\x01K\x01\x85cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05"
    body += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    body += b"\x89]q\x06]q\x07(K\x09M\x10\x27\x8a\x01\x05eatb."
    path = archive(tmp_path / "a.npz", x_train=npy(body, count=1), y_train=saved(np.array([1])))
    assert read_reviews(path)["train"].ranks[0].tolist() == [9, 10_000, 5]


def test_reviews_of_one_length_in_a_matrix_are_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", x_test=saved(np.array([[4, 5], [6, 7]])))
    assert [ranks.tolist() for ranks in read_reviews(path)["test"].ranks] == [[4, 5], [6, 7]]


class Bomb:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_bomb_is_refused_before_it_runs(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "ran"
    bomb = pickle.dumps(Bomb(os.mkdir, str(proof)[-60:]), protocol=protocol)
    message = refused(archive(tmp_path / "a.npz", x_train=npy(bomb)))
    assert not proof.exists()
    assert "x_train" in message
    assert "posix.mkdir" in message or "nt.mkdir" in message


@pytest.mark.parametrize(
    "call",
    [
        b"cbuiltins\neval\n",
        b"cnumpy.core.multiarray\nscalar\n",
        b"cnumpy.f2py\ncompile\n",
        b"cnumpy\nload\n",
        b"c__builtin__\nexec\n",
        b"cnumpy\nndarray.tofile\n",
    ],
)
def test_every_other_name_is_refused_by_name(tmp_path: Path, call: bytes) -> None:
    message = refused(archive(tmp_path / "a.npz", x_train=npy(b"\x80\x03" + call + b"]q\x00\x85R.")))
    module, name = call[1:].decode().split()
    assert f"{module}.{name}" in message


@pytest.mark.parametrize(
    "opcodes",
    [
        b"(ios\nsystem\n.",  # INST
        b"Pid\n.",  # PERSID
        b"K\x01Q.",  # BINPERSID
        b"\x82\x01.",  # EXT1
        b"cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"(cnumpy\ndtype\no.",  # OBJ
        b"}q\x00.",  # EMPTY_DICT
        b"\x8e" + b"\xff" * 7 + b"\x3f.",  # BINBYTES8 of 4 exabytes
        b"]q\x00r\xff\xff\xff\xff.",  # a memo table of 32 GB
    ],
)
def test_opcodes_that_lists_do_not_need_are_refused_unread(tmp_path: Path, opcodes: bytes) -> None:
    message = refused(archive(tmp_path / "a.npz", x_train=npy(b"\x80\x03" + opcodes)))
    assert "which lists of numbers do not need" in message


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cnumpy\nndarray\n]q\x00b.",  # a state set on the type
        b"cnumpy.core.multiarray\n_reconstruct\n]q\x00b.",  # and on the function
        b"cnumpy\nndarray\n\x88\x85R.",  # calling the type
        b"cnumpy\ndtype\n)R.",  # a dtype instead of an array
        b"cnumpy.core.multiarray\n_reconstruct\n)R.",  # an array without a state
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x01NNNtb.",  # without elements
        b"(K\x01.",
        b"R.",
        b"h\x05.",
        b"",
    ],
)
def test_admitted_names_cannot_be_abused(tmp_path: Path, opcodes: bytes) -> None:
    before = dict(vars(safe_npz._Inert))
    assert "cannot be used" in refused(archive(tmp_path / "a.npz", x_train=npy(b"\x80\x03" + opcodes)))
    assert dict(vars(safe_npz._Inert)) == before


@pytest.mark.parametrize(
    "element", [None, (1, 2), [1, None], [[1]], [True], ["a"], [-1], [2**31 - 1, -(2**31)], "text"], ids=repr
)
def test_elements_other_than_lists_of_ranks_are_refused(tmp_path: Path, element: object) -> None:
    path = archive(tmp_path / "a.npz", x_test=saved(object_array([[1], element])))
    assert "x_test" in refused(path)


def test_one_list_repeated_many_times_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", x_test=saved(object_array([[7] * 5000] * 5000)))
    assert "repeats one list" in refused(path)


def test_a_header_that_announces_other_rows_is_refused(tmp_path: Path) -> None:
    body = pickle.dumps(object_array([[1], [2]]), protocol=3)
    assert "header announces" in refused(archive(tmp_path / "a.npz", x_test=npy(body, count=3)))


def test_a_huge_announced_shape_allocates_nothing(tmp_path: Path) -> None:
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (4000000000000,), }\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 16
    assert "16 bytes" in refused(archive(tmp_path / "a.npz", y_test=member))


def test_a_zip_bomb_is_refused_by_its_declared_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_npz, "MAX_MEMBER_BYTES", 1 << 20)
    path = archive(tmp_path / "a.npz", x_train=b"\0" * (2 << 20))
    assert path.stat().st_size < 10_000
    assert "at most 1048576" in refused(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 200), byte=st.integers(0, 255), protocol=st.sampled_from([2, 4]))
def test_a_flipped_byte_is_refused_or_harmless(tmp_path: Path, at: int, byte: int, protocol: int) -> None:
    body = bytearray(pickle.dumps(object_array([[1, 300], [70_000]]), protocol=protocol))
    body[at % len(body)] = byte
    try:
        reviews = read_reviews(archive(tmp_path / "a.npz", x_train=npy(bytes(body))))["train"]
    except DataError:
        return
    assert [ranks.dtype for ranks in reviews.ranks] == [np.int32, np.int32]


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.zeros((1, 1), int), y_train=np.zeros(1, int))
    assert "no array x_test, y_test" in refused(path)


def test_reviews_and_labels_of_other_lengths_are_refused(tmp_path: Path) -> None:
    assert "2 reviews and y_test 3 labels" in refused(archive(tmp_path / "a.npz", y_test=saved(np.array([0, 1, 0]))))


@pytest.mark.parametrize("labels", [np.array([0.5, 1]), np.array([[0], [1]]), np.array([-1, 1]), np.array([2**40, 1])])
def test_labels_other_than_class_numbers_are_refused(tmp_path: Path, labels: np.ndarray) -> None:
    assert "y_train" in refused(archive(tmp_path / "a.npz", y_train=saved(labels)))


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.npz").read_bytes()
    path = tmp_path / "b.npz"
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for data in (b"", b"not a zip", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(data)
        assert str(path) in refused(path)


@pytest.mark.parametrize("member", [b"", b"\x93NUMPY\x09\x00", b"\x93NUMPY\x01\x00\x05\x00{'a'}", npy(b"")[:30]])
def test_members_that_are_no_arrays_are_refused(tmp_path: Path, member: bytes) -> None:
    assert "x_train" in refused(archive(tmp_path / "a.npz", x_train=member))
