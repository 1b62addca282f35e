"""Continuous batching over an engine whose answers depend on every token in its pages."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kb.errors import Invalid, KbError, Unavailable
from kb.llm.local.errors import CorruptShard, OutOfPages
from kb.llm.local.harmony import Harmony
from kb.llm.local.limits import Limits
from kb.llm.local.prefix import PagePool, page_keys
from kb.llm.local.prefix_disk import PrefixDisk
from kb.llm.local.responses import status_of
from kb.llm.local.sampling import SamplingParams
from kb.llm.local.scheduler import Scheduler
from kb.llm.local.sequences import Failed, Finished, Request, Sequence
from kb.llm.local.tokenizer import Tokenizer
from kb.llm.local.types import PAGE
from kb.llm.local.writer import Delta, Writer
from tests.waiting import until

from . import speaking

TOKENIZER = Tokenizer(speaking.tokenizer_json())
HARMONY = Harmony(TOKENIZER)
LIMITS = Limits(context=2048, chunk=64, mixed_chunk=64)

Make = Callable[..., Scheduler]


@pytest.fixture
def make() -> Iterator[Make]:
    """Schedulers that must have all their pages back at the end."""
    made: list[Scheduler] = []

    def build(engine: speaking.PagedEngine, limits: Limits = LIMITS, **more: object) -> Scheduler:
        pool = more.pop("pool", None) or PagePool(engine.pages)
        made.append(Scheduler(engine, limits, pool, **more))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for scheduler in made:
        scheduler.close()
        assert scheduler.pool.used == 0
        assert not scheduler.running
        assert not scheduler.waiting


def ask(prompt: list[int], count: int = 20, save: int = 0) -> Sequence:
    params = SamplingParams(temperature=0)
    return Sequence(Request(prompt, params, count, frozenset(), save), Writer(TOKENIZER, HARMONY))


def read(sequence: Sequence) -> tuple[str, Finished]:
    """All text and the end; raises what it failed with."""
    text = ""
    while True:
        _, event = sequence.events.get(timeout=30)
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            assert sequence.events.empty(), "nothing may follow the end"
            return text, event
        assert isinstance(event, Delta)
        text += event.content


def prompt(size: int, seed: int = 0) -> list[int]:
    return [random.Random(seed * 1000 + place).randrange(33, 120) for place in range(size)]


def expected(tokens: list[int], count: int = 20) -> str:
    return TOKENIZER.decode(speaking.letters(tokens, count))


@pytest.mark.parametrize("size", [1, 31, 32, 33, 64, 200])
def test_one_text(make: Make, size: int) -> None:
    scheduler = make(speaking.PagedEngine())
    sequence = ask(prompt(size), 70)
    scheduler.submit([sequence])
    text, end = read(sequence)
    assert text == expected(prompt(size), 70)
    assert (end.reason, end.prompt_tokens, end.completion_tokens) == ("length", size, 70)


def test_texts_join_and_leave_between_tokens_and_say_what_they_say_alone(make: Make) -> None:
    engine = speaking.PagedEngine(pages=128)
    engine.delay = 0.002
    scheduler = make(engine)
    sequences = [ask(prompt(5 + 37 * number, number), 10 + 9 * number) for number in range(8)]
    for sequence in sequences:
        scheduler.submit([sequence])
        time.sleep(0.01)
    for number, sequence in enumerate(sequences):
        assert read(sequence)[0] == expected(sequence.request.prompt, 10 + 9 * number)
    assert max(map(len, engine.batches)) > 1


def test_a_long_prompt_does_not_freeze_a_short_text(make: Make) -> None:
    engine = speaking.PagedEngine()
    scheduler = make(engine)
    short, long = ask(prompt(3, 1), 200), ask(prompt(1500, 2), 2)
    scheduler.submit([short, long])
    assert read(long)[0] == expected(long.request.prompt, 2)
    assert read(short)[0] == expected(short.request.prompt, 200)
    assert engine.batches[0] == [3, 61]
    reading = [lengths for lengths in engine.batches[1:] if max(lengths) > 1]
    assert len(reading) > 10, "the prompt came in parts"
    assert all(lengths[0] == 1 and sum(lengths) <= 65 for lengths in reading), (
        "the writer goes first, each time"
    )


def test_a_shared_beginning_is_computed_once(make: Make) -> None:
    engine = speaking.PagedEngine()
    scheduler = make(engine)
    system = prompt(100)
    first, second = ask([*system, 40]), ask([*system, 41])
    scheduler.submit([first])
    read(first)
    computed = sum(map(sum, engine.batches))
    scheduler.submit([second])
    text, end = read(second)
    assert text == expected(second.request.prompt)
    assert end.reused_tokens == 96
    assert sum(map(sum, engine.batches)) - computed == (101 - 96) + 19
    assert scheduler.counters.reused_tokens == 96


def test_a_conversation_goes_on_from_its_own_pages(make: Make) -> None:
    scheduler = make(speaking.PagedEngine())
    first = ask(prompt(40), 60)
    scheduler.submit([first])
    read(first)
    history = [*first.tokens, *prompt(5, 9)]
    second = ask(history)
    scheduler.submit([second])
    text, end = read(second)
    assert text == expected(history)
    assert end.reused_tokens == 96  # 99 of its 100 tokens were computed


def test_two_at_once_share_what_the_first_has_read_so_far(make: Make) -> None:
    engine = speaking.PagedEngine()
    scheduler = make(engine)
    system = prompt(640)
    both = [ask([*system, 40 + number], 3) for number in range(2)]
    scheduler.submit(both)
    for sequence in both:
        assert read(sequence)[0] == expected(sequence.request.prompt, 3)
    assert sum(map(sum, engine.batches)) < 640 + 2 * PAGE + 20


def test_pages_run_out_and_the_newest_starts_over(make: Make) -> None:
    engine = speaking.PagedEngine(pages=10)
    scheduler = make(engine)
    sequences = [ask(prompt(40, number), 150) for number in range(4)]
    scheduler.submit(sequences)
    for sequence in sequences:
        assert read(sequence)[0] == expected(sequence.request.prompt, 150)
    assert scheduler.counters.preemptions > 0


def test_kept_pages_make_room(make: Make) -> None:
    scheduler = make(speaking.PagedEngine(pages=8))
    for number in range(6):
        sequence = ask(prompt(100, number), 5)
        scheduler.submit([sequence])
        assert read(sequence)[0] == expected(sequence.request.prompt, 5)
    assert scheduler.pool.evictions > 0


def test_what_can_never_fit_is_refused(make: Make) -> None:
    scheduler = make(speaking.PagedEngine(pages=4))
    with pytest.raises(Invalid, match=r"128 tokens.*KB_MODEL_CONTEXT"):
        scheduler.submit([ask(prompt(128))])
    sequence = ask(prompt(120), 100)
    scheduler.submit([sequence])
    text, end = read(sequence)
    assert (end.reason, end.completion_tokens) == ("length", 8)
    assert text == expected(prompt(120), 8)


def test_a_full_queue_refuses_and_everybody_knows_their_place(make: Make) -> None:
    engine = speaking.PagedEngine()
    engine.go.clear()
    scheduler = make(engine, Limits(context=2048, running=1, queue=3))
    sequences = [ask(prompt(4, number), 3) for number in range(4)]
    scheduler.submit(sequences[:1])
    until(lambda: scheduler.running == 1)
    scheduler.submit(sequences[1:])
    assert [sequence.place for sequence in sequences] == [0, 1, 2, 3]
    with pytest.raises(OutOfPages) as refused:
        scheduler.submit([ask(prompt(4))])
    assert status_of(refused.value) == 503
    assert refused.value.retry_after
    scheduler.cancel(sequences[1])
    engine.go.set()
    for sequence in (sequences[0], *sequences[2:]):
        read(sequence)
    assert scheduler.counters.finished["rejected"] == 1
    with pytest.raises(KbError, match="Cancelled"):
        read(sequences[1])


def test_who_waits_too_long_is_told(make: Make) -> None:
    engine = speaking.PagedEngine()
    engine.delay = 0.02
    scheduler = make(engine, Limits(context=2048, running=1, queue_s=0.1))
    first, second = ask(prompt(4), 30), ask(prompt(5))
    scheduler.submit([first])
    scheduler.submit([second])
    with pytest.raises(OutOfPages, match="no room"):
        read(second)
    read(first)


def test_cancelling_frees_the_pages_within_one_step(make: Make) -> None:
    engine = speaking.PagedEngine()
    scheduler = make(engine)
    sequence = ask(prompt(1000), 500)
    engine.go.clear()
    scheduler.submit([sequence])
    until(lambda: scheduler.pool.used > 0)
    scheduler.cancel(sequence)
    engine.go.set()
    with pytest.raises(KbError, match="Cancelled"):
        read(sequence)
    assert scheduler.pool.used == 0
    assert len(engine.batches) <= 1
    assert scheduler.counters.finished["cancelled"] == 1


def test_a_failing_model_ends_the_texts_in_hand_and_no_others(make: Make) -> None:
    engine = speaking.PagedEngine()
    scheduler = make(engine)
    sequence = ask(prompt(40), 50)
    engine.fail = CorruptShard("layer 3 is damaged")
    scheduler.submit([sequence])
    with pytest.raises(CorruptShard, match="layer 3"):
        read(sequence)
    again = ask(prompt(40), 50)
    scheduler.submit([again])
    text, end = read(again)
    assert text == expected(prompt(40), 50)
    assert end.reused_tokens == 0, "nothing computed by a step that failed is trusted"


def test_no_memory_is_an_answer(make: Make) -> None:
    engine = speaking.PagedEngine()
    engine.fail = MemoryError()
    scheduler = make(engine)
    sequence = ask(prompt(40))
    scheduler.submit([sequence])
    with pytest.raises(OutOfPages) as refused:
        read(sequence)
    assert refused.value.retry_after
    again = ask(prompt(40))
    scheduler.submit([again])
    assert read(again)[0] == expected(prompt(40))


def test_values_that_are_no_numbers_end_one_text_only(make: Make) -> None:
    class Sick(speaking.PagedEngine):
        def forward(self, batch):  # type: ignore[no-untyped-def]
            logits = super().forward(batch)
            for row, place in enumerate(batch.logits_at):
                if batch.tokens[place] == 7:
                    logits[row] = np.nan
            return logits

    scheduler = make(Sick())
    well, sick = ask(prompt(40)), ask([*prompt(64), 7])
    scheduler.submit([well, sick])
    assert read(well)[0] == expected(prompt(40))
    with pytest.raises(KbError, match="not numbers"):
        read(sick)


def test_stopping_lets_running_texts_end_and_turns_others_away(make: Make) -> None:
    engine = speaking.PagedEngine()
    engine.delay = 0.01
    scheduler = make(engine, Limits(context=2048, running=1))
    running, waiting = ask(prompt(4), 20), ask(prompt(5))
    scheduler.submit([running])
    until(lambda: scheduler.running == 1)
    scheduler.submit([waiting])
    scheduler.close(grace=10)
    assert read(running)[0] == expected(prompt(4))
    with pytest.raises(Unavailable, match="stopping"):
        read(waiting)
    with pytest.raises(Unavailable, match="stopping"):
        scheduler.submit([ask(prompt(4))])


def test_stopping_without_patience_ends_texts_in_an_error(make: Make) -> None:
    engine = speaking.PagedEngine()
    engine.delay = 0.01
    scheduler = make(engine)
    sequence = ask(prompt(4), 1000)
    scheduler.submit([sequence])
    sequence.events.get(timeout=10)
    scheduler.close()
    with pytest.raises(Unavailable, match="stopping"):
        read(sequence)


def test_a_thousand_steps_of_joins_cancels_and_failures_leak_nothing(make: Make) -> None:
    engine = speaking.PagedEngine(pages=24)
    scheduler = make(engine, Limits(context=700, running=6, queue=1000, chunk=64, mixed_chunk=64))
    dice = random.Random(1)
    shared = prompt(70)
    sequences: list[Sequence] = []
    for number in range(150):
        start = shared if dice.random() < 0.5 else []
        sequences.append(ask([*start, *prompt(dice.randrange(1, 90), number)], dice.randrange(1, 60)))
        scheduler.submit(sequences[-1:])
        if dice.random() < 0.2:
            scheduler.cancel(dice.choice(sequences))
        if dice.random() < 0.03:
            engine.fail = CorruptShard("bad luck")
        time.sleep(dice.random() * 0.004)
    done = 0
    for sequence in sequences:
        try:
            text, _ = read(sequence)
        except KbError:
            continue
        done += 1
        assert text == expected(sequence.request.prompt, sequence.request.max_tokens)
    assert done > 75
    assert sum(scheduler.counters.finished.values()) == 150
    pool = scheduler.pool
    assert (pool.used, pool.available) == (0, 24)
    assert threading.active_count() < 20


def test_a_pool_never_mixes_up_pages() -> None:
    pool = PagePool(6)
    keys = page_keys(prompt(5 * PAGE))
    pages = [pool.take() for _ in keys]
    for page, key in zip(pages, keys, strict=True):
        pool.publish(page, key)
    assert pool.find(keys[0]) == pages[0]
    pool.release(pages)
    assert (pool.used, pool.idle, pool.available) == (1, 4, 6 - 1)
    assert pool.holds(keys) == 5
    taken = [pool.take(), pool.take()]  # the free one, then the latest page of the idle text
    assert taken[1] == pages[4]
    assert pool.holds(keys) == 4
    assert page_keys(prompt(5 * PAGE, seed=1))[0] != keys[0]
    assert page_keys([1] * 64)[0] != page_keys([1] * 64)[1]
    pool.release([pages[0]])
    pool.release(taken)
    assert pool.used == 0


class Cells:
    """The pages of a `PagedEngine` as bytes."""

    def __init__(self, engine: speaking.PagedEngine) -> None:
        self.engine = engine

    def read(self, pages: list[int]) -> np.ndarray:
        return self.engine.cells[pages].view(np.uint8)

    def write(self, pages: list[int], data: np.ndarray) -> None:
        self.engine.cells[pages] = data.view(np.int64)


def test_a_system_prompt_survives_the_process(make: Make, tmp_path: Path) -> None:
    folder, system = tmp_path / "prefixes", prompt(80)
    engine = speaking.PagedEngine()
    disk = PrefixDisk(folder, b"model", Cells(engine))
    scheduler = make(engine, keeper=disk)
    for number in range(3):
        sequence = ask([*system, 40 + number], save=80)
        scheduler.submit([sequence])
        read(sequence)
        assert bool(list(folder.glob("*"))) <= (number > 0), "only what is seen twice is kept"
    disk.close()
    assert disk.kept == 1

    fresh = speaking.PagedEngine()
    pool = PagePool(fresh.pages)
    again = PrefixDisk(folder, b"model", Cells(fresh))
    again.load(pool)
    assert again.loaded == 1
    scheduler = make(fresh, pool=pool, keeper=again)
    sequence = ask([*system, 50], save=80)
    scheduler.submit([sequence])
    text, end = read(sequence)
    assert text == expected(sequence.request.prompt)
    assert end.reused_tokens == 64
    again.close()


def test_a_slow_disk_keeps_one_prompt_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = PrefixDisk(tmp_path, b"model", Cells(speaking.PagedEngine()))
    go, write = threading.Event(), disk._write
    monkeypatch.setattr(disk, "_write", lambda *job: go.wait(20) and write(*job))
    for seed in range(3):
        disk.keep(prompt(64, seed), [0, 1])
    assert disk._jobs.qsize() <= 1
    go.set()
    until(lambda: disk.kept == 1 and not disk._writing)
    disk.keep(prompt(64, 2), [0, 1])  # seen again
    disk.close()
    assert disk.kept == 2


def test_a_kept_prompt_of_another_shape_takes_no_pages(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path, b"model", Cells(speaking.PagedEngine()))
    disk.keep(prompt(64), [0, 1])
    disk.close()

    class Smaller(Cells):
        def write(self, pages: list[int], data: np.ndarray) -> None:
            raise ValueError("could not be broadcast")

    pool = PagePool(64)
    other = PrefixDisk(tmp_path, b"model", Smaller(speaking.PagedEngine()))
    other.load(pool)
    assert (other.loaded, pool.used) == (0, 0)


@pytest.mark.parametrize("harm", ["stamp", "byte", "cut", "pickle"])
def test_a_kept_prompt_that_does_not_fit_is_not_used(tmp_path: Path, harm: str) -> None:
    engine = speaking.PagedEngine()
    disk = PrefixDisk(tmp_path, b"model", Cells(engine))
    disk.keep(prompt(64), [0, 1])
    disk.close()
    (file,) = tmp_path.glob("*.npz")
    raw = bytearray(file.read_bytes())
    if harm == "byte":
        raw[len(raw) // 2] ^= 1
    if harm == "cut":
        del raw[len(raw) // 2 :]
    if harm == "pickle":
        np.savez(file, tokens=np.array([object()] * 64), data=np.zeros(1), sum=np.zeros(1))
        raw = bytearray(file.read_bytes())
    file.write_bytes(raw)
    pool = PagePool(64)
    other = PrefixDisk(tmp_path, b"other" if harm == "stamp" else b"model", Cells(engine))
    other.load(pool)
    assert other.loaded == 0
    assert pool.holds(page_keys(prompt(64))) == 0
    assert not list(tmp_path.glob("*.npz"))
