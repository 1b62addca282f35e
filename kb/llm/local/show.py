"""Tables and progress bars of `kb model`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from kb.llm.local.pack import Progress
from kb.llm.local.plan import Plan
from kb.llm.local.store import Shard, Store

_DENSE = {
    "self_attn": "attention",
    "router": "router",
    "embed_tokens": "embeddings",
    "lm_head": "output head",
}


@contextmanager
def progress(what: str) -> Iterator[Callable[[Progress], None]]:
    """A bar with rate and time left on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(
            what, total=None, name="", visible=False
        )  # a refusal needs no empty bar above it

        def show(now: Progress) -> None:
            bars.update(task, completed=now.done_bytes, total=now.total_bytes, name=now.what, visible=True)

        yield show


def show_plan(plan: Plan) -> None:
    """The machine, the layouts, the recommendation."""
    machine, console = plan.machine, Console()
    about = Table("This machine", "", show_header=True)
    fast = ", ".join(machine.features) or "none known"
    about.add_row(
        "processor", f"{machine.processor}, {machine.cores} threads ({fast}; {machine.kernels} kernels)"
    )
    about.add_row("memory", f"{_gb(machine.available_bytes)} of {_gb(machine.memory_bytes)} available")
    about.add_row("for weights", f"{_gb(plan.budget)} (KB_MODEL_RAM)")
    about.add_row("memory bandwidth", f"{machine.memory_bandwidth / 1e9:.0f} GB/s")
    about.add_row("disk", f"{_gb(machine.disk_free_bytes)} free, {_rate(machine.disk_bandwidth)}")
    cards = ", ".join(f"{gpu.name} ({_gb(gpu.memory_bytes)})" for gpu in machine.gpus) or "none found"
    about.add_row("graphics card", cards)
    console.print(about)
    table = Table("gpt-oss-20b as", "file", "least memory", "tokens/s", "")
    for option in plan.options:
        speed = "–" if option.tokens_per_s is None else f"{option.tokens_per_s:.1f}"
        table.add_row(option.layout, _gb(option.file_bytes), _gb(option.least_memory), speed, option.note)
    console.print(table)
    console.print(f"Recommended: [bold]{plan.engine}[/bold]. {plan.why}", highlight=False, soft_wrap=True)
    _commands(console, plan.commands)
    for name, commands in plan.others:
        console.print(f"Or {name}:", highlight=False)
        _commands(console, commands)


def show_errors(path: Path) -> None:
    """What packing cost, per layer: relative root-mean-square error (mean over matrices) and its largest."""
    with Store(path) as store:
        shards = [shard for shard in store.shards() if not shard.part]
    kinds = sorted({_kind(shard) for shard in shards if shard.relative_error is not None})
    exact = sorted({_kind(shard) for shard in shards} - set(kinds))
    if kinds:
        cells: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for shard in shards:
            if shard.relative_error is not None:
                row = -1 if shard.layer is None else shard.layer
                cells[row][_kind(shard)].append(shard.relative_error)
        table = Table("layer", *kinds, title="Relative error of packing, mean / largest over matrices")
        for row in sorted(cells):
            texts = [_error(cells[row][kind]) for kind in kinds]
            table.add_row("–" if row < 0 else str(row), *texts)
        Console().print(table)
    Console().print(f"Kept exactly: {', '.join(exact)}", highlight=False, soft_wrap=True)


def describe(path: Path) -> dict[str, Any]:
    """One packed model, for a listing."""
    with Store(path) as store:
        config = store.config
        return {
            "file": str(path),
            "bytes": path.stat().st_size,
            "layout": store.layout,
            "source": store.meta.get("source"),
            "layers": config.get("num_hidden_layers"),
            "experts": config.get("num_local_experts"),
        }


def show_models(found: list[dict[str, Any]]) -> None:
    """Packed models as a table."""
    table = Table(Column("file", overflow="fold"), "size", "layout", "layers", "experts")
    for row in found:
        size = _gb(row["bytes"]) if row["bytes"] >= 1e8 else f"{row['bytes'] / 1e6:.1f} MB"
        table.add_row(row["file"], size, row["layout"], str(row["layers"]), str(row["experts"]))
    Console().print(table)


def _commands(console: Console, lines: tuple[str, ...]) -> None:
    for line in lines:
        console.print(f"    {line}", highlight=False, soft_wrap=True, markup=False)


def _kind(shard: Shard) -> str:
    if shard.kind != "dense":
        return f"experts ({shard.layout})"
    return next((words for part, words in _DENSE.items() if part in shard.name), "norms and sinks")


def _error(values: list[float]) -> str:
    return f"{sum(values) / len(values):.1e} / {max(values):.1e}" if values else ""


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def _rate(speed: float) -> str:
    return f"{speed / 1e9:.2f} GB/s" if speed else "could not be measured"
