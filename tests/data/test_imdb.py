import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ig_worker.data import imdb
from ig_worker.data.imdb import RemoteFile, decode, keras_file, keras_order, parse_word_index, rank_words
from ig_worker.errors import DataError, UsageError

INDEX = {"the": 1, "Movie": 2, "it's": 3, "last": 9996, "rare": 9997}
CONTENT = b"what Keras publishes"


def test_the_order_is_that_of_one_generator_which_shuffles_train_first() -> None:
    train, test = keras_order(50, 40)
    rng = np.random.RandomState(113)
    assert train.tolist() == rng.permutation(50).tolist()
    assert test.tolist() == rng.permutation(40).tolist()
    assert keras_order(100, 40)[1].tolist() != test.tolist()


def test_full_keeps_every_word_and_case() -> None:
    assert decode([1, 2, 9997, 4], rank_words(INDEX, "full"), "full") == "the Movie rare [UNK]"


def test_2022_keeps_the_top_ten_thousand_ids_in_lower_case() -> None:
    # Rank 9996 has id 9999, the last below num_words; rank 9997 is out of vocabulary although the index has it.
    assert decode([1, 2, 9996, 9997, 4], rank_words(INDEX, "2022"), "2022") == "the movie last [UNK] [UNK]"


def test_2021_pads_in_front_and_writes_padding_start_and_unknown_as_unk() -> None:
    words = decode([2, 9997, 1], rank_words(INDEX, "2021"), "2021").split(" ")
    assert words == ["UNK"] * 97 + ["Movie", "UNK", "the"]


def test_2021_keeps_the_last_hundred_words() -> None:
    text = decode([1] * 30 + [3] * 100, rank_words(INDEX, "2021"), "2021")
    assert text.split(" ") == ["it's"] * 100
    assert decode([2] * 99, rank_words(INDEX, "2021"), "2021") == " ".join(["UNK"] + ["Movie"] * 99)


def test_an_empty_review_is_an_empty_text_except_in_2021() -> None:
    assert decode([], {}, "full") == decode([], {}, "2022") == ""
    assert decode([], {}, "2021").split(" ") == ["UNK"] * 100


def test_an_unknown_decode_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="--imdb-decode is '2020'; expected 2021, 2022, full"):
        decode([1], {}, "2020")


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"{}", b'{"a": "1"}', b'{"a": 0}', b'{"a": true}', b'{"\\ud800": 1}', b"\xff", b"[" * 10**5]
)
def test_a_file_that_is_no_word_index_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"word index words\.json"):
        parse_word_index(data, "words.json")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/imdb.npz" else 404)
        self.end_headers()
        if self.path == "/imdb.npz":
            self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def remote(url: str, content: bytes = CONTENT) -> RemoteFile:
    return RemoteFile("imdb.npz", url, "sha256", hashlib.sha256(content).hexdigest())


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_download_is_kept_and_not_repeated(origin: str, tmp_path: Path) -> None:
    path = keras_file(remote(f"{origin}/imdb.npz"))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache" / "ig_worker")
    assert keras_file(remote(f"{origin}/gone")) == path
    assert files_in(tmp_path) == ["imdb.npz"]


def test_a_download_with_another_hash_is_thrown_away(origin: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has sha256 .* expected"):
        keras_file(remote(f"{origin}/imdb.npz", b"something else"))
    assert files_in(tmp_path) == []


def test_a_missing_download_says_what_to_do(origin: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"404.*download it elsewhere to .*or pass the path"):
        keras_file(remote(f"{origin}/gone"))
    assert files_in(tmp_path) == []


def test_no_network_says_what_to_do(origin: str) -> None:
    with pytest.raises(DataError, match="cannot be downloaded"):
        keras_file(remote("http://127.0.0.1:1/imdb.npz"))


def test_keras_own_copy_is_used_in_place(origin: str, tmp_path: Path) -> None:
    own = tmp_path / "keras" / "datasets" / "imdb.npz"
    own.parent.mkdir(parents=True)
    own.write_bytes(CONTENT)
    assert keras_file(remote(f"{origin}/gone")) == own


def test_another_file_in_keras_folder_is_left_alone(origin: str, tmp_path: Path) -> None:
    own = tmp_path / "keras" / "datasets" / "imdb.npz"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"the user's own")
    with pytest.raises(DataError, match="is another file: to use it, pass its path"):
        keras_file(remote(f"{origin}/gone"))
    assert keras_file(remote(f"{origin}/imdb.npz")).read_bytes() == CONTENT
    assert own.read_bytes() == b"the user's own"


def test_the_published_hashes_are_keras_own() -> None:
    assert len(imdb.REVIEWS_FILE.digest) == 64
    assert imdb.REVIEWS_FILE.digest.startswith("69664113be75683a")
    assert (imdb.WORD_INDEX_FILE.algorithm, imdb.WORD_INDEX_FILE.digest[:8]) == ("md5", "bfafd718")
    assert json.dumps(imdb.REVIEWS_FILE.url).endswith('/tf-keras-datasets/imdb.npz"')
