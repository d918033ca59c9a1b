"""Files written whole or not at all, told apart, hashed, and pictures stamped with where they come from."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import psutil

from minedetect.errors import BadInput, SettingError

PNG_HEAD_BYTES = 8 + 25
"""Signature and the header chunk; others follow in any order (W3C PNG, section 5.6)."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block ends well.

    A reader sees the old file or the whole new one, also when the writer is killed. The
    temporary name keeps the suffix, which some libraries choose a format by.

    Raises:
        BadInput: the disk is full or the folder cannot be written; the old file is untouched.
    """
    if not path.name or path.is_dir():
        raise BadInput("WRITE", f"{path} is a folder. Name the file to write.")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise BadInput(
            "WRITE", f"{path} could not be written: {error.strerror or error}. Free space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):  # where even that fails, the first error is the one to show
            temporary.unlink()


def forget_killed(path: Path) -> None:
    """Remove temporary files of `replacing` that killed writers of this file left beside it."""
    named = re.compile(re.escape(f".{path.stem}.") + r"(\d+)\.[0-9a-f]{8}(\.staging)?" + re.escape(path.suffix))
    for left in path.parent.glob(".*"):
        match = named.fullmatch(left.name)
        if match and not _alive(int(match[1])):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    """Whether a process can still write; one that was killed and not yet reaped cannot."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that a reader never sees half of it."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_other_files(out: Path, others: Iterable[Path | None]) -> None:
    """Raise when an output would take the place of an input or of another output.

    Raises:
        SettingError: naming the file.
    """
    if any(other is not None and out.resolve() == other.resolve() for other in others):
        raise SettingError(f"{out} is used twice: what is written must not replace what is read. Choose another name.")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """SHA-256 of a file; a large one that did not change, as far as the file system tells, is read once a process."""
    told = path.stat()
    return _hashed(str(path.absolute()), told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(path: str, *_identity: int) -> str:
    return sha256_of(Path(path))


def stamp(path: Path, named: Mapping[str, str]) -> None:
    """Put texts into a PNG, as UTF-8 (iTXt, W3C PNG, section 11.3.4.5)."""
    content = path.read_bytes()
    chunks = b"".join(_chunk(b"iTXt", f"{k}\0\0\0\0\0{text}".encode()) for k, text in named.items())
    with replacing(path) as temporary:
        temporary.write_bytes(content[:PNG_HEAD_BYTES] + chunks + content[PNG_HEAD_BYTES:])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
