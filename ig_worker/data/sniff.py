"""What the bytes of a file say that its name does not: another format, or another encoding than UTF-8. All pure."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

from ig_worker.errors import DataError

HEAD = 4096  # bytes that are enough to know a format
_SAMPLE = 1 << 16  # bytes of lines that are not UTF-8

_FORMATS = (  # how a file begins, what it then is, and what to do
    (b"\x1f\x8b", "packed by gzip", "give it a name that ends in .gz, such as reviews.csv.gz"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard", "give it a name that ends in .zst, such as reviews.jsonl.zst"),
    (b"BZh", "packed by bzip2", "give it a name that ends in .bz2, such as reviews.csv.bz2"),
    (b"\xfd7zXZ\x00", "packed by xz", "unpack it first"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or export it as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "export it as CSV in UTF-8"),
    (b"PAR1", "Parquet", "give it a name that ends in .parquet"),
    (b"ARROW1", "an Arrow or Feather file", "write it as Parquet"),
    (b"SQLite format 3", "an SQLite database", "export it as CSV in UTF-8"),
    (b"\x89HDF", "HDF5", "export it as CSV in UTF-8"),
    (
        b"version https://git-lfs",
        "the pointer that Git LFS left in place of the file",
        "fetch the file by git lfs pull",
    ),
    (b"<!doctype html", "a web page", "download the file itself"),
    (b"<?xml", "XML", "export it as CSV in UTF-8"),
    (b"<html", "a web page", "download the file itself"),
)
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Encodings of many bytes a character, of which a wrong one soon meets a byte that it does not have.
_WIDE = ("shift_jis", "euc_jp", "euc_kr", "big5", "gb18030")


def refuse_other_format(head: bytes, name: str, own: bytes = b"") -> None:
    """Raise DataError where a file begins like one of another format than its name says.

    Args:
        head: its first `HEAD` bytes.
        name: of the file, for messages.
        own: how a file of its own format begins.
    """
    for mark, what, remedy in _FORMATS:
        if head[: len(mark)].lower() == mark.lower() and mark != own:
            raise DataError(f"{name} is {what}", expected="a file of the format that its name says", remedy=remedy)


def refuse_wide_encoding(head: bytes, name: str) -> None:
    """Raise DataError where a text file begins in UTF-16 or UTF-32."""
    found = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "")
    if not found and len(head) >= 4 and not head.startswith(b"\0\0"):
        even, odd = head[0::2].count(0) / len(head[0::2]), head[1::2].count(0) / len(head[1::2])
        found = "utf-16-be" if even > 0.4 > 2 * odd else "utf-16-le" if odd > 0.4 > 2 * even else ""
    if found:
        raise DataError(
            f"{name} is in {found.upper()}", expected="UTF-8", remedy=f"add --encoding {found}, or write it in UTF-8"
        )


def find_encoding(name: str | None) -> str | None:
    """Python's own name of an encoding that ``--encoding`` gives; None for UTF-8 and for none.

    Raises:
        DataError: there is no such encoding of texts.
    """
    if name is None:
        return None
    try:
        found = codecs.lookup(name)
        known = found._is_text_encoding and isinstance(b"a".decode(found.name, "replace"), str)
    except (LookupError, ValueError, UnicodeError):
        known = False
    if not known or found.name.replace("-", "_") in (
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "undefined",
    ):
        raise DataError(
            f"--encoding is {name!r}", expected="an encoding such as utf-8, latin-1, windows-1252 or utf-16"
        )
    return None if found.name == "utf-8" else found.name


def keeps_ascii(encoding: str) -> bool:
    """Whether ASCII is written in this encoding as it is in UTF-8."""
    plain = bytes(range(128))
    return plain.decode(encoding, "replace") == plain.decode("ascii")


@dataclass
class Utf8Check:
    """Whether the lines of a file are UTF-8: to be shown every line once."""

    lines: int = 0
    good: int = 0  # lines that are UTF-8 and more than ASCII
    bad: int = 0  # lines that are not UTF-8
    first_bad: int = 0  # number of the first, from 1
    sample: bytearray = field(default_factory=bytearray)

    def add(self, line: bytes) -> None:
        """Look at the next line."""
        self.lines += 1
        if line.isascii():
            return
        try:
            line.decode()
            self.good += 1
        except UnicodeDecodeError:
            self.first_bad = self.first_bad or self.lines
            self.bad += 1
            self.sample += line[: max(0, _SAMPLE - len(self.sample))]

    @property
    def ascii(self) -> bool:
        """Whether all is ASCII."""
        return not self.good and not self.bad

    def refuse(self, name: str) -> None:
        """Raise DataError where the file as a whole is in another encoding.

        A few broken rows among good ones are their own fault. Where no more lines with letters beyond ASCII are UTF-8
        than are not, it is the file.
        """
        if self.bad and self.bad >= self.good:
            likely = likely_encoding(bytes(self.sample))
            raise DataError(
                f"{name} is not UTF-8 (line {self.first_bad}, and {self.bad:,} in all), it looks like {likely}",
                expected="UTF-8",
                remedy=f"add --encoding {likely.split(' ')[0]}, or --encoding utf-8 to quarantine such rows",
            )


def likely_encoding(sample: bytes) -> str:
    """The likely encoding of lines that are not UTF-8, by Python's name of it, and perhaps others.

    In Western texts letters beyond ASCII stand alone. Else the encodings that fit are told, in order of likelihood.
    """
    runs = "".join("x" if byte > 127 else " " for byte in sample).split()
    high = sum(map(len, runs))
    if high < 2.5 * len(runs):
        return _western(sample)
    fitting = [encoding for encoding in _WIDE if _fits(sample, encoding)]
    cyrillic = sum(byte >= 0xC0 for byte in sample) > 0.9 * high
    if cyrillic:  # capitals and small letters change places between the two
        small = sum(byte >= 0xE0 for byte in sample)
        fitting.insert(0, "windows-1251" if 2 * small > high else "koi8-r")
    return " or ".join(fitting) or _western(sample)


def _western(sample: bytes) -> str:
    controls = {byte for byte in sample if 0x80 <= byte < 0xA0}
    return "windows-1252" if controls and not controls & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin-1"


def _fits(sample: bytes, encoding: str) -> bool:
    try:
        sample[: sample.rfind(b"\n") + 1 or None].decode(encoding)
    except UnicodeDecodeError as error:
        return error.end >= len(sample)  # the sample ends within a character
    return True
