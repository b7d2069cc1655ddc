"""The bytes of source files: decompressed, converted to UTF-8, and refused if they are no text."""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.encodings import is_encoding
from airflow_mlops.domain.spec.source import FORMATS
from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.sources.notation import Notation

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""The compression that each end of a file name stands for."""

NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "NaN", "nan", "None")
"""What counts as missing in a column of numbers, times or truth values; in text only an empty field does."""

_BLANKS = ("\t", *(" " * width for width in range(1, 256)))
"""Fields of nothing but blanks, as databases pad them: missing in such a column too."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Layout:
    """How the files of a source are written.

    :param format: ``csv``, ``jsonl`` or ``parquet``; None means that the end of the file name decides.
    :param delimiter: what separates the fields of CSV.
    :param encoding: how text is encoded.
    :param nulls: what counts as missing in CSV, besides an empty field.
    :param types: Arrow types of columns of CSV and JSON; the types of other columns are inferred from their values.
    :param escape: what stands before a quote, a delimiter or a line end that belongs to a field of CSV, besides doubled
        quotes; None for nothing.
    :param notation: how numbers and times of CSV are written.
    :raises SourceUnreadable: if the escape cannot be one.
    """

    format: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    nulls: tuple[str, ...] = NULLS
    types: dict[str, str] = field(default_factory=dict, hash=False)
    escape: str | None = None
    notation: Notation = Notation()

    @property
    def missing(self) -> tuple[str, ...]:
        """All texts that count as missing in a column of CSV that is no text."""
        return "", *self.nulls, *_BLANKS

    def __post_init__(self) -> None:
        """Check the escape of sources that are written by hand."""
        escape = self.escape
        if escape is not None and (len(escape) != 1 or escape in f'\r\n"{self.delimiter}'):
            raise SourceUnreadable(
                f"escape is {escape!r}; it must be one character, such as \\, and no delimiter"
            )


@dataclass(frozen=True)
class File:
    """One file on an fsspec file system.

    :param path: its path on the file system.
    :param name: its name in messages.
    """

    fs: Any
    path: str
    name: str
    layout: Layout

    @property
    def format(self) -> str:
        """The format of the file: ``csv``, ``jsonl`` or ``parquet``.

        :raises SourceUnreadable: if neither the layout nor the end of its name gives one.
        """
        format = self.layout.format or self._suffixes()[0]
        if format not in FORMATS:
            raise SourceUnreadable(
                f"{self.name} does not end in .csv, .jsonl or .parquet; say which it is: format: csv"
            )
        return format

    def _suffixes(self) -> tuple[str, str]:
        end = next((end for end in COMPRESSIONS if self.path.endswith(end)), "")
        return self.path.removesuffix(end).rpartition(".")[2], end

    def stamp(self) -> str:
        """Return a text that changes when the file does: its size, and the marks of its last change that the file system has.

        :raises FileNotFoundError: if it is gone.
        """
        info = self.fs.info(self.path)
        marks = (
            "size",
            "mtime",
            "ETag",
            "etag",
            "LastModified",
            "last_modified",
            "updated",
            "generation",
            "created",
        )
        return " ".join(f"{mark}={info[mark]}" for mark in marks if info.get(mark) is not None)

    def open(self) -> pa.NativeFile:
        """Open the file for reading, decompressed.

        :raises SourceUnreadable: if it is empty.
        """
        import pyarrow as pa

        if self.fs.size(self.path) == 0:
            raise SourceUnreadable(f"{self.name} is empty (0 bytes)")
        if "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,)):
            raw = pa.OSFile(self.path)
        else:
            raw = pa.PythonFile(self.fs.open(self.path, "rb"), "r")
        compression = COMPRESSIONS.get(self._suffixes()[1])
        return pa.CompressedInputStream(raw, compression) if compression else raw

    def open_text(self) -> Utf8:
        """Open the file as UTF-8 text: decompressed, without a byte order mark, and with a line end after the last line."""
        return Utf8(self.open(), self.name, self.layout.encoding)


class Stream(io.RawIOBase):
    """A stream over another one, which defines :meth:`read` alone."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def readable(self) -> bool:
        """Return True: the file can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        taken = self.read(len(buffer)) or b""
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
        super().close()


class Utf8(Stream):
    """Read text of any encoding as UTF-8.

    :raises SourceUnreadable: at a byte that is not of the encoding, or at a NUL; the message names the line.
    """

    def __init__(self, raw: pa.NativeFile, name: str, encoding: str) -> None:
        super().__init__(raw)
        self._name = name
        self._encoding = encoding
        if not is_encoding(encoding):
            raise SourceUnreadable(
                f"{name}: {encoding!r} is no encoding of text that Python knows; write utf-8, latin-1, cp1252 …"
            )
        self._decoder = codecs.getincrementaldecoder("utf-8" if _is_utf8(encoding) else encoding)()
        self._lines = 1
        self._bytes = 0
        self._last = b""
        self._rest = b""
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, or fewer at the end of the file."""
        size = 1 << 20 if size < 0 else size
        parts = [self._rest]
        while not self._ended and sum(map(len, parts)) < size:
            chunk = self._raw.read(max(size, 1 << 16))
            text = self._decode(chunk)
            self._last = text[-1:] or self._last
            if not chunk:
                self._ended = True
                # The last line may lack its line end, and pyarrow refuses a file that has no line end at all.
                text += b"" if self._last in (b"", b"\n") else b"\n"
            parts.append(text)
        read = b"".join(parts)
        taken, self._rest = read[:size], read[size:]
        return taken

    def _decode(self, chunk: bytes) -> bytes:
        if not self._bytes:
            chunk = self._without_mark(chunk)
        try:
            decoded = self._decoder.decode(chunk, final=not chunk)
            # Encodings of 16 and 32 bits whose name tells the order of bytes leave the mark in the text.
            text = (decoded if self._last else decoded.removeprefix("\ufeff")).encode()
        except UnicodeDecodeError as error:
            line = self._lines + error.object.count(b"\n", 0, error.start)
            position = self._bytes + error.start - (len(error.object) - len(chunk))
            raise SourceUnreadable(
                f"{self._name}: byte {position:,} (0x{error.object[error.start]:02x}, line {line:,}) is no "
                f"{self._encoding}; save the file as UTF-8, or name its encoding, such as encoding: latin-1"
            ) from error
        except UnicodeError as error:
            raise SourceUnreadable(
                f"{self._name} is no {self._encoding}: {error}; name the encoding that it has, such as encoding: utf-16-le"
            ) from error
        if (nul := text.find(b"\0")) >= 0:
            line = self._lines + text.count(b"\n", 0, nul)
            raise SourceUnreadable(
                f"{self._name}: line {line:,} holds a NUL byte, so this is no text, or not all of it was written"
            )
        self._bytes += len(chunk)
        self._lines += text.count(b"\n")
        return text

    def _without_mark(self, chunk: bytes) -> bytes:
        if chunk[:2] in _UTF16 and _is_utf8(self._encoding):
            raise SourceUnreadable(
                f"{self._name} is UTF-16; save it as UTF-8, or name its encoding: encoding: utf-16"
            )
        if chunk.startswith(codecs.BOM_UTF8) and _is_utf8(self._encoding):
            self._bytes += len(codecs.BOM_UTF8)
            return chunk[len(codecs.BOM_UTF8) :]
        return chunk


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")
