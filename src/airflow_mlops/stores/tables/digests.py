"""Digests of rows, which depend on values alone: not on batches, and not on the order of columns or rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# As many as stay in a processor's cache.
_BLOCK = 16_384
# Longer texts are hashed one by one.
_LONG = 128


def rows(part: pa.Table | pa.RecordBatch) -> np.ndarray:
    """Return a 64-bit digest of each row.

    A null adds nothing, so a column without values leaves digests as they are; a whole number has the digest of the
    same number as a fraction, so widening a column does too.
    """
    import numpy as np
    import pyarrow as pa

    table = part if isinstance(part, pa.Table) else pa.Table.from_batches([part])
    seeds = [
        int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") for name in table.column_names
    ]
    totals = np.zeros(table.num_rows, np.uint64)
    start = 0
    for batch in table.to_batches(max_chunksize=_BLOCK):
        block = totals[start : start + batch.num_rows]
        for column, seed in zip(batch.columns, seeds, strict=True):
            _add(block, column, np.uint64(seed))
        start += batch.num_rows
    return totals


class Content:
    """The digest of a partition whose rows come batch by batch; it keeps 8 bytes a row."""

    def __init__(self) -> None:
        self.rows = Numbers()
        self._valued: dict[str, str] = {}

    def add(self, part: pa.Table | pa.RecordBatch) -> None:
        """Take in some rows."""
        self.rows.add(rows(part))
        for field, column in zip(part.schema, part.columns, strict=True):
            if field.name not in self._valued and column.null_count < len(column):
                self._valued[field.name] = str(field.type)

    def digest(self) -> str:
        """Return a sha256 of the rows, and of the types of columns that have a value."""
        hashes = self.rows.sorted()
        sha = hashlib.sha256(json.dumps(sorted(self._valued.items())).encode())
        sha.update(hashes.data)
        return sha.hexdigest()


class Numbers:
    """64-bit numbers that come batch by batch, in one array that grows."""

    def __init__(self) -> None:
        import numpy as np

        self._values = np.empty(0, np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, values: np.ndarray) -> None:
        """Take in some numbers."""
        end = self._count + len(values)
        if end > len(self._values):
            # In small steps: what is not used yet takes memory too.
            self._values.resize(max(end, len(self._values) * 9 // 8), refcheck=False)
        self._values[self._count : end] = values
        self._count = end

    def sorted(self) -> np.ndarray:
        """Sort them where they are, and return them."""
        values = self._values[: self._count]
        values.sort()
        return values


def of(batches: Iterable[pa.Table | pa.RecordBatch]) -> str:
    """Return the content digest of rows; how they are ordered and divided does not matter."""
    content = Content()
    for batch in batches:
        content.add(batch)
    return content.digest()


def _add(total: np.ndarray, column: pa.Array, seed: np.uint64) -> None:
    """Add what one column contributes to the rows of a block."""
    import numpy as np
    import pyarrow as pa

    if column.null_count == len(column):
        return
    values = _values(column)
    values ^= seed
    _mix(values)
    if column.null_count:
        values *= column.is_valid().cast(pa.uint8()).to_numpy().astype(np.uint64)
    total += values


def _mix(values: np.ndarray) -> None:
    """Spread each number over all bits: the finaliser of MurmurHash3."""
    import numpy as np

    values ^= values >> np.uint64(33)
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)


def _values(column: pa.Array) -> np.ndarray:
    """Return a number for each value, in a new array; the number for a null is arbitrary."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _texts(column, np.int32)
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return _texts(column, np.int64)
    if pa.types.is_floating(kind):
        return _fractions(column.cast(pa.float64()).fill_null(0.0).to_numpy())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_int64(column.type):
        numbers: np.ndarray = column.cast(pa.int64(), safe=False).fill_null(0).to_numpy().astype(np.uint64)
        return numbers
    if pa.types.is_decimal(kind) or pa.types.is_string_view(kind):
        return _texts(column.cast(pa.string()), np.int32)
    return _texts(pa.array([_text(cell) for cell in column.to_pylist()], pa.string()), np.int32)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _fractions(values: np.ndarray) -> np.ndarray:
    import numpy as np

    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    bits = values.view(np.uint64).copy()
    bits[np.isnan(values)] = np.uint64(0x7FF8000000000000)
    np.copyto(bits, whole.view(np.uint64), where=whole == values)
    return bits


def _texts(column: pa.Array, offset: type[np.generic]) -> np.ndarray:
    """Hash texts word by word, all of them at once."""
    import numpy as np

    _, offsets, raw = column.buffers()
    ends = np.frombuffer(offsets, offset)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    begins, lengths = ends[:-1] - ends[0], np.diff(ends)
    size = int(ends[-1] - ends[0])
    # A word may reach beyond the last byte.
    padded = np.zeros(size + 8, np.uint8)
    padded[:size] = np.frombuffer(raw, np.uint8)[ends[0] : ends[-1]] if size else 0
    words = np.ndarray(size + 1, "<u8", padded, strides=(1,))
    hashes = lengths.astype(np.uint64)
    # Unmixed, a length and a first character could cancel out, for the two are combined by XOR below.
    _mix(hashes)
    short = lengths <= _LONG
    for position in range(0, int(lengths[short].max(initial=0)), 8):
        chosen = np.flatnonzero(short & (lengths > position))
        word = words[begins[chosen] + position]
        beyond = np.maximum(8 - (lengths[chosen] - position), 0).astype(np.uint64) * np.uint64(8)
        word &= np.uint64(0xFFFFFFFFFFFFFFFF) >> beyond
        word ^= hashes[chosen]
        _mix(word)
        hashes[chosen] = word + np.uint64(position)
    for index in np.flatnonzero(~short):
        text = padded[begins[index] : begins[index] + lengths[index]]
        hashes[index] = int.from_bytes(hashlib.blake2b(text.tobytes(), digest_size=8).digest(), "little")
    return hashes
