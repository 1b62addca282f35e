"""What the local engine needs to know, as plain values: kb's settings fill it, tests make their own."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from kb.errors import Invalid
from kb.settings import Settings

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {f"{unit}I": 1 << (10 * power) for power, unit in enumerate("KMGT", start=1)}
_RESERVE = 2_000_000_000  # "auto" leaves this much to everything else on the machine


@dataclass(frozen=True)
class LocalModelSettings:
    """Where packed models live and what serving one may use."""

    models_dir: Path
    ram: str = (
        "auto"  # memory for weights and key-value cache: "3GB", "2500MiB"; "auto": for weights, what is free
    )
    threads: int = 0  # 0: one per core
    context: int = 8192  # longest prompt and answer together, tokens
    kv_ram: str = "1GB"  # memory for the key-value cache

    @classmethod
    def of(cls, settings: Settings) -> LocalModelSettings:
        """The local engine's part of kb's settings."""
        return cls(
            models_dir=settings.data / "models",
            ram=settings.model_ram,
            threads=settings.model_threads,
            context=settings.model_context,
            kv_ram=settings.model_kv_ram,
        )

    @property
    def automatic(self) -> bool:
        """Whether the machine's free memory decides."""
        return self.ram.strip().lower() == "auto"

    def weight_bytes(self) -> int:
        """The budget for weights in bytes; "auto" is the memory available now, less the cache and a reserve."""
        if not self.automatic:
            return parse_size(self.ram, "KB_MODEL_RAM")
        return max(0, available_memory() - parse_size(self.kv_ram, "KB_MODEL_KV_RAM") - _RESERVE)

    def core_count(self) -> int:
        """Threads to compute with."""
        return self.threads or len(os.sched_getaffinity(0))


def parse_size(text: str, name: str) -> int:
    """Bytes of "3GB", "2.5 GiB", "800M" or "123456"; Invalid names the setting when it is none of these."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    if match is None or match[2] not in _UNITS:
        raise Invalid(f"{name} is {text!r}; give a size such as 3GB, 2500MiB or a number of bytes.")
    return int(float(match[1]) * _UNITS[match[2]])


def available_memory() -> int:
    """Bytes a process here can still take: what the kernel counts as available, within its control group."""
    available = int(_meminfo("MemAvailable"))
    for limit, used in _own_groups():
        try:
            ceiling = limit.read_text().strip()
            if ceiling != "max":
                taken = int(used.read_text()) - _droppable(used.with_name("memory.stat"))
                available = min(available, int(ceiling) - taken)
        except (OSError, ValueError):
            continue
    return max(0, available)


def total_memory() -> int:
    """Bytes of memory in the machine."""
    return _meminfo("MemTotal")


def _meminfo(field: str) -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _droppable(stat: Path) -> int:
    """Bytes of files that a control group keeps in memory and gives up when it needs room."""
    fields = dict(line.split() for line in stat.read_text().splitlines())
    prefix = "total_" if "total_inactive_file" in fields else ""  # version 1 counts subgroups apart
    return int(fields.get(prefix + "inactive_file", 0)) + int(fields.get(prefix + "active_file", 0))


def _own_groups() -> list[tuple[Path, Path]]:
    """Files with the limit and the use of this process's control group, version 2 and version 1."""
    root = Path("/sys/fs/cgroup")
    found = [
        (root / "memory.max", root / "memory.current"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.usage_in_bytes"),
    ]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found.append((root / path.strip("/") / "memory.max", root / path.strip("/") / "memory.current"))
        elif "memory" in controllers.split(","):
            group = root / "memory" / path.strip("/")
            found.append((group / "memory.limit_in_bytes", group / "memory.usage_in_bytes"))
    return found
