"""Looks through an Arrow file before Arrow does: what its frames claim to hold has to fit the file.

A frame of the stream format is a mark, the length of its head, the head (a FlatBuffers table `Message`), and a body of
the length that the head says. A body may be compressed, and a few bytes then stand for as much memory as they like; so
that is refused. The format: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format.
"""

from __future__ import annotations

import struct

import pyarrow as pa

from ig_worker.errors import DataError

_MARK = 0xFFFFFFFF
_LONGEST_HEAD = 64 << 20
_LONGEST_BODY = 1 << 30  # of a batch of rows, which memory has to hold
_DICTIONARY, _RECORDS = 2, 3  # kinds of messages that have a body
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3  # fields of Message
_COMPRESSION = 3  # field of RecordBatch
_DATA = 1  # field of DictionaryBatch: its RecordBatch


def check_frames(stream: pa.NativeFile, name: str, size: int) -> None:
    """Raise DataError where a file is not of whole, uncompressed frames that memory can hold.

    Args:
        stream: the file.
        name: what messages call it.
        size: of the file, in bytes.
    """
    place = 0
    while place + 8 <= size:
        stream.seek(place)
        mark, length = struct.unpack("<II", stream.read(8))
        if mark != _MARK:
            raise _broken(name, "no frame begins where one should")
        if length == 0:
            return  # the end of the stream
        if length > min(_LONGEST_HEAD, size - place - 8):
            raise _broken(name, "a frame is longer than the file")
        try:
            body, compressed = _read_head(stream.read(length))
        except (struct.error, IndexError, ValueError) as error:
            raise _broken(name, "a frame has no readable head") from error
        if compressed:
            raise DataError(f"{name} is compressed inside", expected="plain Arrow", remedy="write it as Parquet")
        if body > _LONGEST_BODY:
            raise DataError(
                f"{name} has a batch of {body} bytes", expected=f"at most {_LONGEST_BODY}", remedy="write it as Parquet"
            )
        place += 8 + length + body
        if body < 0 or place > size:
            raise _broken(name, "a frame is longer than the file")


def _broken(name: str, what: str) -> DataError:
    return DataError(
        f"{name} is no whole Arrow file in the stream format: {what}",
        expected="a file as save_to_disk writes it",
        remedy="write it again, or as Parquet",
    )


def _read_head(head: bytes) -> tuple[int, bool]:
    """(bytes of the body, whether it is compressed) of a Message."""
    table = _offset(head, 0)
    body = _scalar(head, table, _BODY_LENGTH, "<q")
    kind = _scalar(head, table, _HEADER_TYPE, "<B")
    place = _field(head, table, _HEADER)
    if kind not in (_DICTIONARY, _RECORDS) or place is None:
        return body, False
    records = _offset(head, place)
    if kind == _DICTIONARY:
        inner = _field(head, records, _DATA)
        if inner is None:
            return body, False
        records = _offset(head, inner)
    return body, _field(head, records, _COMPRESSION) is not None


def _offset(head: bytes, place: int) -> int:
    """What a reference in a FlatBuffers table points to."""
    return place + int(struct.unpack_from("<I", head, place)[0])


def _field(head: bytes, table: int, number: int) -> int | None:
    """Place of a field of a FlatBuffers table, or None where it is left out."""
    entries = table - int(struct.unpack_from("<i", head, table)[0])
    (size,) = struct.unpack_from("<H", head, entries)
    if 4 + 2 * number + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", head, entries + 4 + 2 * number)
    return table + int(offset) if offset else None


def _scalar(head: bytes, table: int, number: int, form: str) -> int:
    place = _field(head, table, number)
    return 0 if place is None else int(struct.unpack_from(form, head, place)[0])
