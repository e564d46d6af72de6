"""Lines: a text table's lines as a study's keys say they are stored: compressed, encoded, behind others."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ...spec import Fault, InputError
from .format import Format

OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda path: pa.input_stream(str(path), compression="zstd"),
}
BROKEN = (EOFError, zlib.error, lzma.LZMAError, pa.ArrowException, OSError)  # what these raise of a broken file
_AS_TABLE = "write the table as CSV or Parquet"
# What a file that is no text table is → what to do, and its first bytes.
_SIGNATURES: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "is compressed by gzip": ("end its name in .gz", (b"\x1f\x8b",)),
    "is compressed by bzip2": ("end its name in .bz2", tuple(b"BZh%d1AY&SY" % size for size in range(1, 10))),
    "is compressed by xz": ("end its name in .xz", (b"\xfd7zXZ\0",)),
    "is compressed by Zstandard": ("end its name in .zst", (b"\x28\xb5\x2f\xfd",)),
    "is a Parquet file": ("end its name in .parquet", (b"PAR1\x15",)),
    "is a workbook of a spreadsheet or a ZIP archive": (
        "save the sheet as CSV, or unpack the archive",
        (b"PK\x03\x04",),
    ),
    "is an archive": ("unpack it", (b"7z\xbc\xaf", b"Rar!")),
    "is a workbook of Excel": ("save the sheet as CSV", (b"\xd0\xcf\x11\xe0",)),
    "is a PDF document": ("get the table itself", (b"%PDF",)),
    "is an image": ("get the table itself", (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")),
    "is a text document": ("save the table as CSV", (b"{\\rtf",)),
    "is a database": ("export the table as CSV", (b"SQLite format 3",)),
    "is an HDF5 file": (_AS_TABLE, (b"\x89HDF",)),
    "is a NetCDF file": (_AS_TABLE, (b"CDF\x01", b"CDF\x02", b"CDF\x05")),
    "is an Arrow (Feather) file": (_AS_TABLE, (b"ARROW1", b"FEA1")),
    "is an array of NumPy": (_AS_TABLE, (b"\x93NUMPY",)),
    "is a pickle": (_AS_TABLE, tuple(b"\x80" + bytes([version]) for version in range(2, 6))),
    "is a file of R": ("write the table there by write.csv", (b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n", b"X\n\0\0")),
    "is a file of MATLAB": ("write the table there by writetable", (b"MATLAB 5.0 MAT-file",)),
    "is a file of Stata": ("export the table as CSV", (b"<stata_dta>",)),
    "is a file of SPSS": ("export the table as CSV", (b"$FL2", b"$FL3")),
    "is ARFF": ("write the names into one line above the rows, and remove all else", (b"@relation", b"@RELATION")),
    "is a pointer of Git LFS, not the table itself": ("run `git lfs pull`", (b"version https://git-lfs",)),
    "is a file of DVC, not the table itself": ("name the table that it is of, without .dvc", (b"outs:\n- md5",)),
    "has marks of a merge conflict": ("resolve it", (b"<<<<<<< ",)),
    "is JSON": ("write the table as CSV", (b"{", b"[{")),
    "is XML": ("get the table itself as CSV", (b"<?xml",)),
}
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|table)\b", re.IGNORECASE | re.DOTALL)


def ending(path: Path) -> tuple[str, str]:
    """Return the ending that says what the file holds, and the one of its compression or ""."""
    compression = path.suffix.lower() if path.suffix.lower() in OPENERS else ""
    return (path.with_suffix("") if compression else path).suffix.lower(), compression


def open_bytes(path: Path) -> IO[bytes]:
    """Return the file open for reading, uncompressed."""
    opener = OPENERS.get(ending(path)[1])
    return opener(path) if opener else path.open("rb")


def check_kind(path: Path) -> None:
    """Raise InputError, which says what the file is, unless it may be a text table."""
    with open_bytes(path) as file:
        head = file.read(1024)
    if _HTML.match(head):
        fix = "download the table itself (the link may be called raw or download)"
        raise InputError(Fault("", "is a page of HTML, not a table", fix, source=str(path)))
    if head[257:262] == b"ustar":
        raise InputError(Fault("", "is an archive (tar)", "unpack it", source=str(path)))
    for why, (fix, signatures) in _SIGNATURES.items():
        if head.removeprefix(b"\xef\xbb\xbf").startswith(signatures):
            raise InputError(Fault("", why, fix, source=str(path)))


class Lines:
    """Iterates over the lines of a table that are not passed over, the byte order mark taken away.

    `taken` holds the physical numbers of the lines given since it was cleared.
    """

    def __init__(self, file: IO[bytes], path: Path, form: Format, separator: str) -> None:
        # newline="" leaves line ends within quotes to csv.
        self._text = io.TextIOWrapper(file, encoding=form.encoding or "utf-8", newline="")
        self._path, self._form, self._blanks = path, form, separator == " "
        self.taken: list[int] = []

    def __iter__(self) -> Iterator[str]:
        skipped, comment = self._form.skip_rows, self._form.comment
        for number, line in enumerate(self._text, start=1):
            if number <= skipped:
                continue
            if "\0" in line:
                raise InputError(_explain_nul(self._path, number))
            if number == 1:
                line = line.removeprefix("\ufeff")
            if not line:  # of a file that is a byte order mark
                continue
            if comment and line.lstrip().startswith(comment):
                continue
            self.taken.append(number)
            yield _single_blanks(line) if self._blanks else line


def _single_blanks(line: str) -> str:
    """Return the line with one blank for every run of them outside quotes, and none at its ends."""
    return re.sub(r'("[^"]*")|[ \t]+', lambda m: m[1] or " ", line.strip(" \t\r\n")) + "\n"


def _explain_nul(path: Path, number: int) -> Fault:
    with open_bytes(path) as file:
        data = file.read(1000)
    even, odd = data[::2].count(0), data[1::2].count(0)
    fix = "save it as UTF-8 CSV"
    if max(even, odd) > len(data) / 8:  # every other byte of Latin text in UTF-16
        fix = f"set `encoding: {'utf-16-le' if odd > even else 'utf-16-be'}`"
    return Fault("", "has a NUL byte, so it is no UTF-8 text table", fix, source=f"{path}:{number}")


def explain_encoding(path: Path, form: Format) -> Fault:
    """Return where the file is not in the encoding that it is read in, and what to do."""
    with open_bytes(path) as file:
        data = file.read()
    name = form.encoding or "UTF-8"
    try:
        data.decode(name)
    except UnicodeDecodeError as error:
        before = data[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line, value = before.count(b"\n") + 1, data[error.start]
        why = f"byte {error.start} of the file (0x{value:02x}) is not {name}"
        return Fault("", why, _encoding_fix(data, form), source=f"{path}:{line}")
    except UnicodeError as error:
        return Fault("", f"is not {name} ({error})", _encoding_fix(data, form), source=str(path))
    return Fault("", "changed while it was read", "try again", source=str(path))


def _encoding_fix(data: bytes, form: Format) -> str:
    for name in ["utf-16", "utf-8", "cp1252", "latin-1"]:
        if name == form.encoding or (name == "utf-16" and not data.startswith((b"\xff\xfe", b"\xfe\xff"))):
            continue
        try:
            data.decode(name)
        except UnicodeError:
            continue
        return "leave `encoding` out" if name == "utf-8" else f"set `encoding: {name}`, or save the table as UTF-8"
    return "save the table as UTF-8"
