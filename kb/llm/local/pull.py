"""`kb model pull`: a model folder from a hub repository, or a folder that is already here, checked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from kb.errors import DiskFull
from kb.llm.local.config import ModelConfig
from kb.llm.local.download import RemoteFile, download
from kb.llm.local.errors import BadModel, SourceError
from kb.llm.local.pack import Progress
from kb.llm.local.source import Checkpoint

_SUFFIXES = (
    ".safetensors",
    ".json",
    ".jinja",
)  # at the top of the repository: its other folders repeat the weights


def pull(
    what: str,
    models_dir: Path,
    *,
    revision: str = "main",
    tell: Callable[[Progress], None] = lambda _: None,
    pause_s: float = 1.0,
) -> Path:
    """The folder of a complete, checked model. `what` is a folder, or a repository "owner/name".

    Interrupted, it goes on where it stopped; files already there are checked, not fetched again.
    Raises SourceError, BadModel (before the weights are fetched), DiskFull.
    """
    folder = Path(what).expanduser()
    if not folder.is_dir():
        if what.count("/") != 1 or what.startswith(("/", ".", "~")):
            raise SourceError(f"{what} is neither a folder nor a repository like openai/gpt-oss-20b.")
        folder = _fetch(what, models_dir / what.replace("/", "--"), revision, tell, pause_s)
    ModelConfig.from_json(Checkpoint(folder).config)
    return folder


def _fetch(repo: str, folder: Path, revision: str, tell: Callable[[Progress], None], pause_s: float) -> Path:
    files, headers = _listing(repo, revision)
    # Small ones first: a model this engine cannot run is refused before its weights are fetched.
    files.sort(key=lambda file: (file.name != "config.json", file.size))
    if (
        not files
        or files[0].name != "config.json"
        or not any(file.name.endswith(".safetensors") for file in files)
    ):
        raise BadModel(f"{repo} has no config.json and .safetensors weights; for a GGUF use llama-server.")
    folder.mkdir(parents=True, exist_ok=True)
    _require_space(folder, files)
    total = sum(file.size for file in files)
    before = 0
    for file in files:

        def progress(done: int, before: int = before, name: str = file.name) -> None:
            tell(Progress(before + done, total, name))

        path = download(file, folder, headers, progress, pause_s)
        if file.name == "config.json":
            ModelConfig.from_json(_json(path))
        before += file.size
    return folder


def _listing(repo: str, revision: str) -> tuple[list[RemoteFile], dict[str, str]]:
    """The files wanted of a repository at one commit, and the headers to ask for them with."""
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import build_hf_headers

    endpoint = os.environ.get("HF_ENDPOINT") or None  # read now: the library reads it when first imported
    try:
        info = HfApi(endpoint=endpoint).model_info(repo, revision=revision, files_metadata=True, timeout=30)
    except GatedRepoError:
        raise SourceError(
            f"{repo} asks for an agreement first: accept it on its page and set HF_TOKEN."
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise SourceError(f"There is no repository {repo}, or it is private (then set HF_TOKEN).") from None
    except Exception as problem:  # whatever its HTTP client raises, which changed between versions
        where = endpoint or "the model hub"
        raise SourceError(
            f"{where} cannot be reached for {repo}: {problem}. Without a network, bring the folder and"
            " use: kb model pack DIR"
        ) from None
    files = []
    for sibling in info.siblings or []:
        name = sibling.rfilename
        if name.endswith(_SUFFIXES) and Path(name).name == name and not name.startswith("."):
            url = hf_hub_url(repo, name, revision=info.sha, endpoint=endpoint)
            sha256 = sibling.lfs.sha256 if sibling.lfs else None
            files.append(RemoteFile(name, int(sibling.size or 0), url, sha256, sibling.blob_id))
    return files, build_hf_headers()


def _require_space(folder: Path, files: list[RemoteFile]) -> None:
    here = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    needed = max(0, sum(file.size for file in files) - here)
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < needed:
        free = room.f_bavail * room.f_frsize
        raise DiskFull(
            f"The download needs {needed / 1e9:.1f} GB more; {folder} has {free / 1e9:.1f} GB free."
        )


def _json(path: Path) -> dict[str, object]:
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise BadModel(f"{path} is not JSON: {error}") from None
