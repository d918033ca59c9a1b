"""Uploaded files, which runs and drafts name them, and removing those that none does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minedetect.errors import BadInput
from minedetect.incoming import ABOUT, FOLDER, Stored, incoming_folder, stored
from minedetect.runs import CONFIG, DRAFT, MANIFEST, home

NAMING = (CONFIG, MANIFEST, DRAFT)
"""Files of a run that name what it reads."""
DEEPEST = 3
"""A run lies so many folders under MINEDETECT_HOME at most."""
IDS = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}")
"""Names of upload folders, and SHA-256: found in any text, also that of a damaged file or of an older version."""


@dataclass(frozen=True)
class Upload:
    """An uploaded file and who needs it.

    Args:
        file: what arrived.
        arrived_s: when, in seconds since 1970.
        users: folders under MINEDETECT_HOME whose runs or drafts name the file or its content.
    """

    file: Stored
    arrived_s: float
    users: tuple[str, ...]


def uploads() -> list[Upload]:
    """Every uploaded file, the latest first.

    Raises:
        OSError: a run's files cannot be read, so nobody knows what it needs.
    """
    named, found = _named(), []
    for about in incoming_folder().glob(f"*/{ABOUT}"):
        with suppress(BadInput, FileNotFoundError):  # damaged, or removed by somebody else meanwhile
            if not about.parent.is_symlink():
                file = stored(about.parent.name)
                users = named.get(file.id, set()) | named.get(file.sha256, set())
                found.append(Upload(file, about.stat().st_mtime, tuple(sorted(users))))
    return sorted(found, key=lambda upload: upload.arrived_s, reverse=True)


def _named() -> dict[str, set[str]]:
    """Folders under `home()` by the ids and hashes that their runs and drafts name."""
    named: dict[str, set[str]] = {}
    for path in _naming_files():
        with suppress(FileNotFoundError):  # its run was deleted meanwhile
            user = path.relative_to(home()).parent.as_posix()
            for found in IDS.findall(path.read_bytes()):
                named.setdefault(found.decode(), set()).add(user)
    return named


def _naming_files() -> Iterator[Path]:
    """What names inputs, also behind a link, as runs are found there too."""
    for depth in range(DEEPEST + 1):
        for name in NAMING:
            for path in home().glob("*/" * depth + name):
                if path.relative_to(home()).parts[0] != FOLDER:
                    yield path


def remove(identities: Collection[str]) -> list[Stored]:
    """Remove uploaded files that no run and no draft names; no link is followed.

    Args:
        identities: ids as they come back from a page.

    Returns:
        What was removed.

    Raises:
        BadInput: a file is needed, or there is no such upload; then none was removed.
        OSError: a file cannot be removed, or a run's files cannot be read.
    """
    known = {upload.file.id: upload for upload in uploads()}
    files = []
    for identity in identities:
        if identity not in known:
            raise BadInput("NOT_FOUND", "One of these files is no longer on the server. Reload the page.")
        upload = known[identity]
        if upload.users:
            raise BadInput(
                "IN_USE", f"{upload.file.name} is needed by {', '.join(upload.users)}, so nothing was removed."
            )
        files.append(upload.file)
    for file in files:
        folder = incoming_folder() / file.id
        (folder / ABOUT).unlink(missing_ok=True)  # first, so that nobody is offered half a file
        shutil.rmtree(folder)
    return files
