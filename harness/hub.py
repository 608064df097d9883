"""Cache of the Hugging Face hub: where a revision of a repository lies, and how to fetch it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
"""Name of a repository: organisation and model, or an old model without an organisation."""
COMMIT = re.compile(r"[0-9a-f]{40}")


def cache_folder() -> Path:
    """Return the folder of the cache: $HF_HUB_CACHE, or `hub` in $HF_HOME.

    References:
        | https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME")
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home or f"{caches}/huggingface").expanduser() / "hub"


def cached_revisions(repository: str) -> Iterator[tuple[str, Path]]:
    """Yield the names of the cached revisions of a repository, with their folders, in order.

    A revision is a file in `refs` with the name of a commit, whose files are in `snapshots`.
    """
    folder = cache_folder() / f"models--{repository.replace('/', '--')}"
    for ref in sorted((folder / "refs").rglob("*")):
        commit = ref.read_text("ascii", "replace").strip() if ref.is_file() else ""
        if COMMIT.fullmatch(commit) and (snapshot := folder / "snapshots" / commit).is_dir():
            yield ref.relative_to(folder / "refs").as_posix(), snapshot


def fetch_command(repository: str, revision: str) -> str:
    """Return the command that downloads a revision into the cache."""
    return f"hf download {repository} --revision {revision}"
