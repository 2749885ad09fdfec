"""A repository of a hub: what it holds, and its files, by the hub's own client and in its cache.

The client takes HF_ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE and HF_TOKEN from the environment; the
token is neither printed nor stored here.
"""

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from tqdm import tqdm

from pyimagesearch.files import sha256_of
from pyimagesearch.terminal import ProgressLines, shows_bars

logger = logging.getLogger(__name__)

INSTALL = "pip install huggingface_hub"
TIMEOUT = 30  # seconds that the hub may take to list the files of a repository
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # of a Git blob, or SHA-256


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its size in bytes, and its SHA-256 or the id of its Git blob."""

    size: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """The files of a repository at a commit, by name."""

    commit: str
    files: dict[str, RemoteFile]


class LinesOfBar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A bar of the client that is not drawn but logged: see ProgressLines."""

    def __init__(self, *, desc: str, total: int | None, initial: int = 0, **_: Any) -> None:
        super().__init__(disable=True)
        self._lines = ProgressLines(total or 0, "bytes", f"fetching {desc}")
        self._lines.add(initial)

    def update(self, n: float | None = 1) -> None:
        """Count bytes that were written to the disk."""
        self._lines.add(int(n or 0))

    def update_transfer(self, n: float | None = 1) -> None:
        """Do not count bytes when they arrive: they are counted when they are written."""


def bar_of(size: int) -> type[tqdm]:
    """Return the class of the client's bar for a file of some bytes; it ends one that has more."""
    drawn: type[tqdm] = _client().utils.tqdm if shows_bars() else LinesOfBar

    class Bar(drawn):  # type: ignore[misc]
        def __init__(self, *values: Any, initial: int = 0, **options: Any) -> None:
            super().__init__(*values, initial=initial, **options)
            self._written = initial

        def update(self, n: float | None = 1) -> None:
            self._written += int(n or 0)
            if self._written > size:
                raise OSError(f"the hub sends more than the {size:,} bytes that it lists")
            super().update(n)

    return Bar


def list_files(repository: str, revision: str | None = None) -> Listing:
    """Return the files of a repository: as the hub says, or as they are in the cache without it.

    `revision` is a branch, a tag or a commit, by default the main branch. Raises OSError when there
    are none.
    """
    client = _client()
    try:
        info = client.HfApi().model_info(
            repository, revision=revision, timeout=TIMEOUT, files_metadata=True
        )
    except client.errors.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"the hub has no repository {repository}, or it is private or gated: set HF_TOKEN"
        ) from None
    except client.errors.RevisionNotFoundError:
        raise FileNotFoundError(f"{repository} has no revision {revision}") from None
    except Exception as error:  # the client raises errors of many types
        listing = _cached_files(repository, revision)
        if listing is None:
            what = f"cannot list the files of {repository}, which is not in the cache"
            _raise(error, f"{what}; a folder of them, from another machine, is a --model too")
        logger.info(f"{repository}: the hub cannot be reached, its files in the cache are used")
        return listing
    if not _matches(COMMIT, info.sha):
        raise OSError(f"the hub does not say which commit of {repository} it has")
    files = {}
    for file in info.siblings or []:
        digest = file.lfs.sha256 if file.lfs else file.blob_id
        if not _matches(DIGEST, digest) or type(file.size) is not int or file.size < 0:
            raise OSError(f"the hub does not give the size and hash of each file of {repository}")
        if _is_plain(file.rfilename):
            files[file.rfilename] = RemoteFile(file.size, digest)
    return Listing(info.sha, files)


def download(
    names: list[str], listing: Listing, repository: str, revision: str | None = None
) -> Path:
    """Bring files of a listing into the client's cache, and check them; return their folder.

    What is fetched is said before, with its size. The client goes on with a file after a cut
    connection, and a file that is complete is not fetched again. Raises OSError when a file cannot
    be fetched, or is not what the listing says.
    """
    client = _client()
    missing = []
    for name in names:
        cached = client.try_to_load_from_cache(repository, name, revision=listing.commit)
        if not isinstance(cached, str):
            missing.append(name)
    if missing:
        size = sum(listing.files[name].size for name in missing)
        where = client.constants.HF_HUB_CACHE
        logger.info(f"fetching {size / 1e6:.1f} MB of {repository}, kept in {where}:")
        logger.info(", ".join(f"{name} ({listing.files[name].size:,} bytes)" for name in missing))
    folder = _snapshots(repository) / listing.commit
    for name in names:
        # By the name of the revision, which the client then remembers for work without network.
        wanted = listing.commit
        if name in missing:
            wanted = revision or client.constants.DEFAULT_REVISION
        try:
            bar = bar_of(listing.files[name].size)
            fetched = client.hf_hub_download(repository, name, revision=wanted, tqdm_class=bar)
            path = Path(fetched)
        except Exception as error:  # the client raises errors of many types
            _raise(error, f"cannot fetch {name} of {repository}")
        if not path.is_relative_to(folder):
            raise OSError(f"{repository} was changed while it was fetched: run again")
        # What a link leads to elsewhere is neither read nor removed.
        if not path.resolve().is_relative_to(folder.parent.parent):
            raise OSError(f"{path} leads out of the cache of {repository}: remove it and run again")
        _require_content(path, listing.files[name])
    return folder


def _cached_files(repository: str, revision: str | None) -> Listing | None:
    """Return the files of a repository in the client's cache, or None if there are none."""
    client = _client()
    revision = revision or client.constants.DEFAULT_REVISION
    snapshots = _snapshots(repository)
    if not COMMIT.fullmatch(revision):
        remembered = snapshots.parent / "refs" / revision
        if not remembered.is_file():
            return None
        revision = remembered.read_text().strip()
    folder = snapshots / revision
    if not COMMIT.fullmatch(revision) or not folder.is_dir():
        return None
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            # The cache names the content of a file by its digest.
            digest = path.resolve().name
            name = path.relative_to(folder).as_posix()
            files[name] = RemoteFile(path.stat().st_size, digest)
    return Listing(revision, files)


def _client() -> Any:
    """Return the hub's client, whose own messages are left to its errors."""
    # Else it also asks the hub for a list of programs, to tell it which one it is part of.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.file_download
        from huggingface_hub.utils import logging as client_logging
    except ImportError:
        raise ImportError(f"networks from the hub need its client: {INSTALL}") from None
    client_logging.set_verbosity_error()
    return huggingface_hub


def _snapshots(repository: str) -> Path:
    """Return the folder of the client's cache that holds a folder for each commit."""
    client = _client()
    name = client.file_download.repo_folder_name(repo_id=repository, repo_type="model")
    return Path(client.constants.HF_HUB_CACHE).expanduser().resolve() / name / "snapshots"


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_plain(name: object) -> bool:
    """Whether a file name from a server is one, and stays in its folder."""
    if not isinstance(name, str):
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and name.isprintable()


def _require_content(path: Path, file: RemoteFile) -> None:
    """Raise OSError, after removing it from the cache, if a file is not what the hub said."""
    if len(file.digest) == 64:
        digest = sha256_of(path)
    elif COMMIT.fullmatch(file.digest):
        content = path.read_bytes()
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    else:
        digest = file.digest
    if digest == file.digest:
        return
    for damaged in (path.resolve(), path):
        damaged.unlink(missing_ok=True)
    raise OSError(
        f"{path.name} has the hash {digest}, and the hub says {file.digest}: it was removed from "
        "the cache; run again to fetch it again"
    )


def _raise(error: Exception, what: str) -> NoReturn:
    """Raise an OSError of one line, without the token, in place of an error of the client."""
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    for secret in (_client().get_token(), os.environ.get("HF_TOKEN")):
        if secret:
            reason = reason.replace(secret, "***")
    raise OSError(f"{what}: {reason}") from None
