"""`kb model`: plan, pull, pack, verify, list, serve."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from kb.llm.local.settings import LocalModelSettings

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def model() -> None:
    """The language model in the house: get it, pack it, serve it."""


@model.command()
@_JSON
def plan(as_json: bool) -> None:
    """What of gpt-oss-20b fits this machine, how fast it would be, and what to type. Takes 20 seconds."""
    from kb.llm.local.plan import make_plan
    from kb.llm.local.probe import probe
    from kb.llm.local.show import show_plan

    settings = _settings()
    budget = settings.weight_bytes()  # before the probe takes memory for itself
    with _waiting("Measuring", not as_json) as tell:
        machine = probe(settings.models_dir, settings.core_count(), tell)
    made = make_plan(machine, budget, settings.models_dir)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(made)))
    else:
        show_plan(made)


@model.command()
@click.argument("repo_or_dir")
@click.option(
    "--revision", default="main", show_default=True, help="Branch, tag or commit of the repository."
)
def pull(repo_or_dir: str, revision: str) -> None:
    """Download a model (owner/name), or check one that is already a folder here. Resumes; checks every file's hash.

    HF_ENDPOINT names another hub, HF_TOKEN an access token.
    """
    from kb.llm.local.pull import pull as fetch
    from kb.llm.local.show import progress

    with progress("Downloading") as tell:
        folder = fetch(repo_or_dir, _settings().models_dir, revision=revision, tell=tell)
    click.echo(f"{folder} is complete. Next: kb model pack {folder}")


@model.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["int8", "mxfp4"]),
    help="Of the experts. Default: mxfp4 where the model is released so (kept exactly), int8 for anything else.",
)
@click.option(
    "--dense",
    type=click.Choice(["int8", "bf16"]),
    default="int8",
    show_default=True,
    help="Of attention, embeddings and head.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Packed file. Default: in the models folder.")
def pack(folder: Path, layout: str | None, dense: str, out: Path | None) -> None:
    """Make one packed file of a model folder. Interrupted, the same command goes on."""
    from kb.llm.local.layout import released_in_mxfp4
    from kb.llm.local.pack import pack as make
    from kb.llm.local.show import progress, show_errors
    from kb.llm.local.source import Checkpoint
    from kb.llm.local.store import SUFFIX

    layout = layout or ("mxfp4" if released_in_mxfp4(Checkpoint(folder)) else "int8")
    name = folder.resolve().name.rsplit("--", 1)[-1]
    out = out or _settings().models_dir / f"{name}.{layout}{SUFFIX}"
    with progress("Packing") as tell:
        make(folder, out, layout=layout, dense=dense, tell=tell)
    show_errors(out)
    click.echo(f"{out} is packed ({out.stat().st_size / 1e9:.2f} GB). Next: kb up, or kb model serve {out}")


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
def verify(file: Path) -> None:
    """Check every shard of a packed model against its hash."""
    from kb.llm.local.errors import BadModel, CorruptShard
    from kb.llm.local.show import progress
    from kb.llm.local.verify import verify as check

    with progress("Verifying") as tell:
        found = check(file, tell=tell)
    if found.bad:
        names = "".join(f"\n  {shard}" for shard in found.bad)
        raise CorruptShard(
            f"{len(found.bad)} of {found.shards} shards of {file} are damaged:{names}\n"
            "Serving mends them while the source folder is there; else remove the file and run kb model pack again."
        )
    if not found.complete:
        raise BadModel(
            f"{file}: {found.shards} shards are right, but packing has not finished. Run kb model pack again."
        )
    click.echo(f"{file}: {found.shards} shards, {found.nbytes / 1e9:.2f} GB, all right.")


@model.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """Packed models, newest first: the first is what kb up serves."""
    from kb.llm.local.show import describe, show_models
    from kb.llm.local.store import models_in

    folder = _settings().models_dir
    found = [describe(path) for path in models_in(folder)]
    if as_json:
        click.echo(json.dumps({"data": found}))
    elif found:
        show_models(found)
    else:
        click.echo(f"No packed model in {folder}. What this machine could run: kb model plan")


@model.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True)
@click.option(
    "--exact", is_flag=True, help="32-bit activations: slower, closest to the reference implementation."
)
def serve(file: Path | None, host: str, port: int, exact: bool) -> None:
    """Serve a packed model (default: the newest) with an OpenAI-compatible interface."""
    from kb.llm.local.errors import BadModel
    from kb.llm.local.store import Store, models_in

    settings = _settings()
    if file is None:
        found = models_in(settings.models_dir)
        if not found:
            raise BadModel(
                f"No packed model in {settings.models_dir}. What this machine could run: kb model plan"
            )
        file = found[0]
    with Store(file) as store:
        store.require_complete()
    from kb.llm.local.server import serve as run  # compiles kernels: only once there is something to serve

    run(file, host, port, exact, settings)


def _settings() -> LocalModelSettings:
    from kb.settings import Settings

    return LocalModelSettings.of(Settings())


@contextmanager
def _waiting(what: str, show: bool) -> Iterator[Callable[[str], None]]:
    """A spinner on standard error that says what is being done."""
    from rich.console import Console

    if not show:
        yield lambda _: None
        return
    with Console(stderr=True).status(what) as status:
        yield lambda text: status.update(f"{what} {text}")
