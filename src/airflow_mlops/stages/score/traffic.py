"""Which model serves a row: a share of the keys gets the challenger, the same ones at any time and anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_RANGE = 1 << 64


def canonical(key: Sequence[Any]) -> str:
    """Return the text of a key that is hashed: a JSON array without spaces, such as ``["AA",17]``; times in ISO 8601.

    :param key: the values of the key columns, in the order of the spec.
    """
    return json.dumps([*key], separators=(",", ":"), ensure_ascii=False, default=_text)


def place(key: Sequence[Any]) -> float:
    """Return the place of a key between 0 and 1: the first 8 bytes of the sha256 of its text, divided by 2^64."""
    return _number(key) / _RANGE


def chosen(rows: pa.Table, key: Sequence[str], share: float) -> np.ndarray:
    """Return for each row whether the challenger serves it: those rows whose key lies below the share.

    :param share: of the keys, above 0 and up to 1. A larger share keeps all the keys of a smaller one.
    """
    import numpy as np

    bound = round(share * _RANGE)
    columns = [rows[name].to_pylist() for name in key]
    return np.fromiter(
        (_number(row_key) < bound for row_key in zip(*columns, strict=True)), dtype=bool, count=rows.num_rows
    )


def _number(key: Sequence[Any]) -> int:
    return int.from_bytes(hashlib.sha256(canonical(key).encode()).digest()[:8], "big")


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
