"""What `kb model plan` concludes from a machine's figures, and that its probes measure something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kb.errors import Invalid
from kb.llm.local.config import ModelConfig
from kb.llm.local.plan import GPT_OSS_20B, Plan, make_plan, sizes
from kb.llm.local.probe import Gpu, Machine, disk_bandwidth, graphics_cards, memory_bandwidth, probe
from kb.llm.local.settings import LocalModelSettings, available_memory, parse_size, total_memory

GB = 1_000_000_000
MACHINE = Machine(
    processor="test",
    cores=2,
    features=("avx2", "avx512vnni"),
    kernels="vnni",
    memory_bytes=24 * GB,
    available_bytes=22 * GB,
    memory_bandwidth=40.0 * GB,
    disk_free_bytes=100 * GB,
    disk_bandwidth=2.0 * GB,
    gpus=(),
)


def _plan(budget: float = 20 * GB, **changes: object) -> Plan:
    return make_plan(replace(MACHINE, **changes), int(budget), Path("models"))  # type: ignore[arg-type]


def test_sizes_follow_from_the_shapes() -> None:
    config = ModelConfig.from_json(GPT_OSS_20B)
    mxfp4, int8 = sizes(config, "mxfp4"), sizes(config, "int8")
    weights = 3 * 2880 * 2880  # of one expert
    assert mxfp4.expert == pytest.approx(weights * 4.25 / 8, rel=0.01)
    assert int8.expert == pytest.approx(weights * 8.25 / 8, rel=0.01)
    assert int8.dense == mxfp4.dense and int8.experts == 24 * 32
    assert 21 * GB < int8.file < 23 * GB and 11.5 * GB < mxfp4.file < 13 * GB
    assert int8.per_token == pytest.approx(3.6e9 * 8.25 / 8, rel=0.01)  # 3.6 billion weights for one token


def test_in_memory_speed_is_bandwidth_by_bytes() -> None:
    mxfp4, int8 = _plan(25 * GB).options
    assert mxfp4.resident == int8.resident == 1 and mxfp4.note == "all in memory"
    assert mxfp4.tokens_per_s is not None and int8.tokens_per_s is not None
    assert int8.tokens_per_s == pytest.approx(40 * 0.85 / 3.73, rel=0.01)
    assert mxfp4.tokens_per_s / int8.tokens_per_s == pytest.approx(3.73 / 2.53, rel=0.01)


def test_paging_costs_what_the_disk_says() -> None:
    slow, fast = (_plan(3 * GB, disk_bandwidth=speed * GB).options[0] for speed in (1.0, 3.0))
    assert 0 < slow.resident < 0.25 and slow.fits
    assert slow.tokens_per_s is not None and fast.tokens_per_s is not None
    assert 2.3 < fast.tokens_per_s / slow.tokens_per_s < 3


@pytest.mark.parametrize(
    ("changes", "engine", "says"),
    [
        ({}, "kb", "4-bit weights fit"),
        ({"budget": 3 * GB}, "kb", "experts in memory"),
        ({"budget": 1 * GB}, "none", "smallest layout needs 1.6 GB"),
        ({"disk_free_bytes": 20 * GB}, "none", "26 GB of disk; 20 GB are free"),
        ({"kernels": "plain"}, "llama-server", "lacks the instructions"),
        ({"gpus": (Gpu("Card", 8 * GB),)}, "kb", "4-bit"),
        ({"gpus": (Gpu("Card", 8 * GB), Gpu("Big card", 24 * GB))}, "vllm", "Big card has 24 GB"),
    ],
)
def test_the_recommendation_fits_the_machine(changes: dict[str, object], engine: str, says: str) -> None:
    plan = _plan(**changes)  # type: ignore[arg-type]
    assert plan.engine == engine and says in plan.why
    assert bool(plan.commands) == (engine != "none")
    assert {name for name, _ in plan.others} == {"kb", "vllm", "llama-server"} - {engine}


def test_the_commands_can_be_typed() -> None:
    commands = _plan().commands
    assert commands[0] == "kb model pull openai/gpt-oss-20b"
    assert commands[1] == "kb model pack models/openai--gpt-oss-20b --layout mxfp4"


def test_a_disk_that_cannot_be_measured_promises_nothing() -> None:
    assert _plan(3 * GB, disk_bandwidth=0.0).options[0].tokens_per_s is None


def test_the_probes_measure(tmp_path: Path) -> None:
    assert memory_bandwidth(1, seconds=0.05, size=16 << 20) > 0.1 * GB
    assert disk_bandwidth(tmp_path, file_bytes=8 << 20, read_s=0.1, write_s=1) > 1e6
    assert list(tmp_path.iterdir()) == []
    assert disk_bandwidth(tmp_path / "missing") == 0.0


def test_the_whole_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_MEMORY_S", 0.05), ("_WRITE_S", 0.1), ("_READ_S", 0.1)):
        monkeypatch.setattr(f"kb.llm.local.probe.{name}", value)
    monkeypatch.setattr("kb.llm.local.probe.memory_bandwidth", lambda threads: 1.0 * GB)
    monkeypatch.setattr("kb.llm.local.probe.disk_bandwidth", lambda folder: float(folder == tmp_path))
    told: list[str] = []
    machine = probe(tmp_path / "not" / "there", 2, told.append)
    assert machine.disk_bandwidth == 1.0  # measured at the nearest folder there is
    assert machine.available_bytes <= machine.memory_bytes and machine.kernels in (
        "vbmi",
        "vnni",
        "avx2",
        "plain",
    )
    assert told == ["graphics card", "memory bandwidth", "disk bandwidth"]


def _tool(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_graphics_cards_are_read_from_the_drivers_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tool(tmp_path, "printf 'Card A, with comma, 24564\\nCard B, 8192\\n'", monkeypatch)
    assert graphics_cards() == (Gpu("Card A, with comma", 24564 << 20), Gpu("Card B", 8192 << 20))


@pytest.mark.parametrize("script", ["exit 9", "echo 'no devices, found'", "exec sleep 30"])
def test_a_driver_that_fails_or_hangs_is_no_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr("kb.llm.local.probe._GPU_S", 0.2)
    _tool(tmp_path, script, monkeypatch)
    assert graphics_cards() == ()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("3GB", 3 * GB),
        (" 2.5 gib ", int(2.5 * 2**30)),
        ("2500MiB", 2500 << 20),
        ("800M", 800_000_000),
        ("123", 123),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text, "KB_MODEL_RAM") == size


@pytest.mark.parametrize("text", ["", "much", "3XB", "-1GB", "3 GB or so"])
def test_a_size_that_is_none_names_the_setting(text: str) -> None:
    with pytest.raises(Invalid, match="KB_MODEL_RAM"):
        parse_size(text, "KB_MODEL_RAM")


def test_auto_takes_what_is_free_but_leaves_room(tmp_path: Path) -> None:
    settings = LocalModelSettings(tmp_path, ram="auto", kv_ram="1GB")
    assert 0 <= settings.weight_bytes() <= max(0, available_memory() - 2 * GB) + GB // 10
    assert available_memory() <= total_memory()
    assert LocalModelSettings(tmp_path, ram="3GB").weight_bytes() == 3 * GB
