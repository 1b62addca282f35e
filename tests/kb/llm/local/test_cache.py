"""Weights on demand: the right bytes, within the budget, whatever else happens."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kb.llm.local import quant
from kb.llm.local.cache import READERS, CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import BadModel, CorruptShard, ModelError
from kb.llm.local.guesses import Guesses
from kb.llm.local.layout import make, matrices
from kb.llm.local.pack import pack
from kb.llm.local.populate import Populater
from kb.llm.local.quant_dense import EMBEDDING
from kb.llm.local.reader import STAGING, BlobReader, PageReader, page_map
from kb.llm.local.slots import Slot, SlotTable
from kb.llm.local.source import Checkpoint
from kb.llm.local.store import Shard, Store
from kb.llm.local.types import Expert
from kb.llm.local.usage import Usage

from . import folders

LAYERS, EXPERTS = 3, 8


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model beside its source folder `src`."""
    folder = tmp_path_factory.mktemp("model")
    return pack(folders.write(folder / "src", mxfp4=True), folder / "m.kbm", page_size=4096)


@pytest.fixture
def model(packed: Path, tmp_path: Path) -> Path:
    """A copy to spoil; it still knows its source."""
    return Path(shutil.copy(packed, tmp_path / "m.kbm"))


@pytest.fixture(scope="module")
def right(packed: Path) -> Callable[[int, int, Expert], bool]:
    """Whether an expert's bytes are those that its source says."""
    source = Checkpoint(packed.parent / "src")
    config = ModelConfig.from_json(source.config)
    made = {m.name: make(source, m).packed.data for m in matrices(config, "mxfp4") if m.kind != "dense"}

    def check(layer: int, expert: int, got: Expert) -> bool:
        stem = f"model.layers.{layer}.mlp.experts.{expert}."
        return np.array_equal(got.gate_up.data, made[stem + "gate_up_proj"]) and np.array_equal(
            got.down.data, made[stem + "down_proj"]
        )

    return check


def _budget(path: Path, slots: int) -> int:
    """Bytes that leave room for exactly that many experts."""
    with CachedStore(path, 1 << 30, warm=False) as store:
        return store.dense_bytes + slots * store.slot_bytes + READERS * STAGING


def _settled(store: CachedStore, done: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    deadline = time.monotonic() + 20
    while not done(report := store.report()):
        assert time.monotonic() < deadline, report
        time.sleep(0.005)
    return report


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("slots", [8, 11, 24])
def test_every_expert_is_the_one_asked_for(
    model: Path, right: Callable[[int, int, Expert], bool], slots: int, direct: bool
) -> None:
    random = np.random.default_rng(slots)
    with CachedStore(model, _budget(model, slots), direct=direct) as store:
        assert store.slots == slots
        for _ in range(60):
            for layer in range(LAYERS):
                ids = random.choice(EXPERTS, 4, replace=False).tolist()
                store.hint((layer + 1) % LAYERS, random.choice(EXPERTS, 3, replace=False).tolist())
                with store.experts(layer, ids) as experts:
                    assert all(right(layer, expert, got) for expert, got in zip(ids, experts, strict=True))
        report = store.report()
        assert report["hits"] + report["misses"] == 60 * LAYERS * 4
        assert report["slots_filled"] <= slots and report["hints_right"] + report["hints_wrong"] <= 60 * 3 * 3


def test_dense_matrices_are_resident_and_aligned(model: Path) -> None:
    with Store(model) as kept:
        shards = [s for s in kept.shards() if s.kind == "dense" and s.name != EMBEDDING]
    with CachedStore(model, 1 << 30) as store:
        for shard in shards:
            packed = store.dense(shard.name)
            assert hashlib.sha256(packed.data).digest() == shard.sha256
            assert packed.data.ctypes.data % 64 == 0 and packed.data.flags.c_contiguous
            assert (packed.layout, packed.rows, packed.cols) == (shard.layout, shard.rows, shard.cols)
        with pytest.raises(BadModel, match="no such weight"):
            store.dense("no such weight")
        assert ModelConfig.from_json(store.config).num_experts == EXPERTS
        assert store.texts["tokenizer.json"] == '{"version": "1.0"}'


def test_the_same_expert_twice_in_one_request(model: Path, right: Callable[[int, int, Expert], bool]) -> None:
    with CachedStore(model, _budget(model, 8), warm=False) as store:
        with store.experts(1, [3, 5, 3]) as experts:
            assert experts[0] is experts[2] and right(1, 5, experts[1])
        assert store.report()["misses"] == 2
        with store.experts(1, [5]):
            assert store.report()["hits"] == 1


def test_a_pinned_expert_keeps_its_bytes(model: Path, right: Callable[[int, int, Expert], bool]) -> None:
    with CachedStore(model, _budget(model, 8), warm=False) as store, store.experts(0, [1, 2, 3, 4]) as held:
        for layer in (1, 2, 1, 2):  # twice as many as there are slots left
            for first in (0, 4):
                store.hint(layer, range(first, first + 4))
                with store.experts(layer, range(first, first + 4)):
                    pass
        assert all(right(0, expert, got) for expert, got in zip([1, 2, 3, 4], held, strict=True))


def test_a_whole_layer_at_once_and_not_more(model: Path) -> None:
    with CachedStore(model, _budget(model, 8)) as store:
        with store.experts(2, range(EXPERTS)) as experts:
            assert len({id(expert) for expert in experts}) == EXPERTS
        with pytest.raises(ModelError, match="do not fit"), store.experts(0, range(9)):
            pass


def test_a_budget_too_small_says_what_is_needed(model: Path) -> None:
    with pytest.raises(ModelError, match=r"needs at least .* GB .*KB_MODEL_RAM"):
        CachedStore(model, _budget(model, 7))


def test_the_budget_holds(model: Path) -> None:
    budget = _budget(model, 10)
    with CachedStore(model, budget) as store:
        report = store.report()
        assert report["dense_bytes"] + report["expert_bytes"] + READERS * STAGING <= budget


def test_free_slots_fill_up_in_the_background(model: Path) -> None:
    with CachedStore(model, 1 << 30) as store:
        _settled(store, lambda report: report["slots_filled"] == LAYERS * EXPERTS)
        with store.experts(2, [0, 7]):
            assert store.report()["misses"] == 0


def _slow_memory(monkeypatch: pytest.MonkeyPatch, at_first: int = 0) -> threading.Event:
    """Memory that costs much to have: so many slots of it are taken ahead until the event is set."""
    plenty, unwritten, left = threading.Event(), SlotTable.unwritten, at_first

    def some(table: SlotTable) -> Slot | None:
        nonlocal left
        left -= 1
        return unwritten(table) if plenty.is_set() or left >= 0 else None

    monkeypatch.setattr(Populater, "slow", property(lambda self: True))
    monkeypatch.setattr(SlotTable, "unwritten", some)
    return plenty


@pytest.mark.parametrize("cached", [False, True])
def test_memory_that_is_slow_to_be_had_is_spared(
    model: Path, right: Callable[[int, int, Expert], bool], monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    _slow_memory(monkeypatch)
    monkeypatch.setattr("kb.llm.local.reader.resident", lambda *_: cached)
    with CachedStore(model, 1 << 30, direct=True) as store:
        for layer in range(LAYERS):
            with store.experts(layer, range(5)) as experts:
                assert all(right(layer, expert, got) for expert, got in enumerate(experts))
        report = store.report()
        assert (report["slots_filled"], report["evictions"]) == (5, (LAYERS - 1) * 5)
        for layer in range(LAYERS):  # from then on only where what leaves is quickly had again
            with store.experts(layer, range(6)) as experts:
                assert all(right(layer, expert, got) for expert, got in enumerate(experts))
        after = store.report()
        assert after["slots_filled"] == (6 if cached else LAYERS * 6)
        assert (after["evictions"] > report["evictions"]) is cached


def test_experts_that_left_to_spare_memory_come_back(
    model: Path, right: Callable[[int, int, Expert], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = _slow_memory(monkeypatch, at_first=5)
    with CachedStore(model, 1 << 30) as store:
        _settled(store, lambda report: report["slots_filled"] == 5)  # of the first layer, in the background
        for layer in range(LAYERS):
            with store.experts(layer, range(5)):
                pass
        assert store._table.get((0, 0)) is None
        plenty.set()
        with store._lock:
            assert store._populater is not None
            store._populater.wake()
        _settled(store, lambda report: report["slots_filled"] == LAYERS * EXPERTS)
        misses = store.report()["misses"]
        for layer in range(LAYERS):
            with store.experts(layer, range(EXPERTS)) as experts:
                assert all(right(layer, expert, got) for expert, got in enumerate(experts))
        assert store.report()["misses"] == misses


def test_pinned_experts_are_not_what_memory_is_spared_with(
    model: Path, right: Callable[[int, int, Expert], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    _slow_memory(monkeypatch)
    with CachedStore(model, 1 << 30) as store, store.experts(0, [1, 2, 3]) as held:
        with store.experts(1, [4, 5]) as others:
            assert right(1, 4, others[0]) and right(1, 5, others[1])
        assert all(right(0, expert, got) for expert, got in zip([1, 2, 3], held, strict=True))


def test_in_the_background_layers_still_to_come_are_read_first() -> None:
    experts = [Expert(*[quant.empty("int8", 32, 32)] * 2) for _ in range(4)]
    table = SlotTable(experts, Usage(3, 2))
    while (slot := table.unwritten()) is not None:
        table.written(slot)
    guesses = Guesses(table, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)])
    guesses.judge(1, [0])
    order = [slot.owner for slot in (guesses.next() for _ in range(4)) if slot is not None]
    assert order == [(2, 0), (2, 1), (0, 0), (0, 1)]


def test_a_right_guess_is_read_before_it_is_asked_for(model: Path) -> None:
    with CachedStore(model, _budget(model, 8), warm=False) as store:
        store.hint(1, [6, 2])
        _settled(store, lambda report: report["slots_filled"] == 2)
        with store.experts(1, [2, 6, 0]):
            pass
        report = store.report()
        assert (report["hits"], report["misses"], report["ahead_used"]) == (2, 1, 2)
        assert (report["hints_right"], report["hints_wrong"]) == (2, 0)


def test_a_wrong_guess_pushes_out_neither_pinned_nor_hot_experts(model: Path) -> None:
    with CachedStore(model, _budget(model, 8), warm=False) as store:
        for _ in range(300):
            with store.experts(0, [0, 1, 2, 3]):
                pass
        store._table.refresh_hot()
        with store.experts(1, [0, 1, 2, 3]):  # all slots full: four hot, four pinned
            before = store.report()
            store.hint(2, [0, 1, 2, 3, 4, 5])
            time.sleep(0.05)
        assert store.report()["evictions"] == before["evictions"]
        with store.experts(0, [0, 1, 2, 3]):
            assert store.report()["misses"] == before["misses"]


def test_guesses_that_are_mostly_wrong_are_no_longer_followed(model: Path) -> None:
    with CachedStore(model, _budget(model, 8), warm=False) as store:
        for _ in range(300):
            for layer in (0, 1):
                store.hint(1 - layer, [6, 7])
                with store.experts(layer, [0, 1]):
                    pass
        before = store.report()["ahead_loads"]
        store.hint(0, [4, 5])
        time.sleep(0.05)
        report = store.report()
        assert report["ahead_loads"] == before and report["hints_right"] == 0
        assert report["hints_wrong"] == 2 * 599  # still counted


def test_a_layer_asked_for_in_groups(model: Path) -> None:
    """As a long prompt does it: the next group is guessed for the layer at hand, and is right."""
    with CachedStore(model, _budget(model, 8), warm=False) as store:
        for layer in (0, 1, 2):
            store.hint(layer, range(8))
            for first in (0, 4):
                with store.experts(layer, range(first, first + 4)):
                    pass
        assert (store.report()["hints_right"], store.report()["hints_wrong"]) == (24, 0)


def test_what_is_used_most_stays(model: Path) -> None:
    """A skewed router: half of the slots it would need, and nearly all of its requests are hits."""
    random = np.random.default_rng(1)
    with CachedStore(model, _budget(model, 12), warm=False) as store:
        for _ in range(400):
            for layer in range(LAYERS):
                common = random.choice(4, 3, replace=False).tolist()
                with store.experts(
                    layer, [*common, int(random.integers(4, 8))] if random.random() < 0.1 else common
                ):
                    pass
        report = store.report()
        assert report["hits"] / (report["hits"] + report["misses"]) > 0.9


def test_statistics_outlive_the_process(model: Path, tmp_path: Path) -> None:
    kept = tmp_path / "usage.json"
    with CachedStore(model, 1 << 30, usage_file=kept, warm=False) as store:
        for _ in range(5):
            with store.experts(1, [7, 6]):
                pass
    usage = Usage(LAYERS, EXPERTS)
    assert usage.load(kept) and usage.ranking()[:2] == [(1, 6), (1, 7)]
    assert not Usage(LAYERS, EXPERTS + 1).load(kept)
    kept.write_text("{")
    with CachedStore(model, 1 << 30, usage_file=kept):  # damaged statistics are no reason to fail
        pass


def _spoil(path: Path, shard: Shard) -> None:
    """Turn one byte of a shard over, in the file, behind SQLite's back."""
    reader, data = BlobReader(path), np.zeros(shard.nbytes, np.uint8)
    reader.read_into(shard, data)
    reader.close()
    extent = page_map(path).extent(shard.id, shard.nbytes)
    assert extent is not None
    at = extent.offset if extent.head else (extent.first - 1) * 4096 + 4
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([int(data[0]) ^ 0xFF]))


def _shard(path: Path, name: str) -> Shard:
    with Store(path) as store:
        return next(shard for shard in store.shards() if shard.name == name)


DAMAGED = "model.layers.1.mlp.experts.5.down_proj"


def _without_checksums(path: Path) -> None:
    """As it would have been packed before there were any."""
    with Store(path, writable=True) as store:
        store.connection.execute("ALTER TABLE shards DROP COLUMN checksum")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("direct", [False, True])
def test_a_damaged_shard_is_made_again_from_its_source(
    model: Path, right: Callable[[int, int, Expert], bool], direct: bool, old: bool
) -> None:
    if old:
        _without_checksums(model)
    _spoil(model, _shard(model, DAMAGED))
    with CachedStore(model, _budget(model, 8), direct=direct, warm=False) as store:
        with store.experts(1, [5]) as (expert,):
            assert right(1, 5, expert)
        assert store.report()["shards_mended"] == 1
    with CachedStore(model, _budget(model, 8), direct=direct, warm=False) as store:  # in the file as well
        with store.experts(1, [5]) as (expert,):
            assert right(1, 5, expert)
        assert store.report()["shards_mended"] == 0


def test_a_damaged_shard_without_a_source_is_reported_and_never_used(model: Path, tmp_path: Path) -> None:
    with Store(model, writable=True) as store:
        store.set_meta({"source": str(tmp_path / "gone")})
    _spoil(model, _shard(model, DAMAGED))
    with CachedStore(model, _budget(model, 8), warm=False) as store:
        for _ in range(2):
            with (
                pytest.raises(CorruptShard, match=r"layer 1, expert 5.*kb model pack") as caught,
                store.experts(1, [4, 5, 6]),
            ):
                pass
        assert str(tmp_path / "gone") in caught.value.detail
        with store.experts(1, [4, 6]):  # the others are fine, and nothing stays pinned
            pass
        for layer in range(LAYERS):
            with store.experts(layer, [0, 1, 2, 3]):
                pass
        assert all(slot.pins == 0 for slot in store._table.slots)


def test_the_first_load_looks_at_the_checksum_alone(
    model: Path, right: Callable[[int, int, Expert], bool]
) -> None:
    with Store(model, writable=True) as store:
        store.connection.execute("UPDATE shards SET sha256 = zeroblob(32)")
        store.set_meta({"source": "nowhere"})
    with (
        CachedStore(model, _budget(model, 8), warm=False) as cached,
        cached.experts(1, [5]) as (expert,),
    ):
        assert right(1, 5, expert)
    _without_checksums(model)  # hashed, as ever
    with pytest.raises(CorruptShard):
        CachedStore(model, 1 << 30)


def test_a_checksum_that_rotted_is_overruled_by_the_hash(
    model: Path, right: Callable[[int, int, Expert], bool]
) -> None:
    with Store(model, writable=True) as store:
        store.connection.execute("UPDATE shards SET checksum = zeroblob(16) WHERE name = ?", (DAMAGED,))
        store.set_meta({"source": "nowhere"})
    with (
        CachedStore(model, _budget(model, 8), warm=False) as cached,
        cached.experts(1, [5]) as (expert,),
    ):
        assert right(1, 5, expert)


def test_a_source_with_other_weights_does_not_mend(model: Path, tmp_path: Path) -> None:
    other = folders.write(tmp_path / "other", mxfp4=True, seed=9)
    with Store(model, writable=True) as store:
        store.set_meta({"source": str(other)})
    _spoil(model, _shard(model, DAMAGED))
    with (
        CachedStore(model, _budget(model, 8), warm=False) as cached,
        pytest.raises(CorruptShard, match="other weights"),
        cached.experts(1, [5]),
    ):
        pass


def test_a_damaged_dense_matrix_stops_the_opening(model: Path, tmp_path: Path) -> None:
    with Store(model, writable=True) as store:
        store.set_meta({"source": str(tmp_path / "gone")})
    _spoil(model, _shard(model, "lm_head.weight"))
    before = threading.active_count()
    with pytest.raises(CorruptShard, match=r"lm_head\.weight"):
        CachedStore(model, 1 << 30)
    assert threading.active_count() == before


def test_opening_need_not_be_waited_for(model: Path, tmp_path: Path) -> None:
    CachedStore(model, 1 << 30, wait=False).close()
    with CachedStore(model, 1 << 30, wait=False) as store:
        store.wait()
        head = store.dense("lm_head.weight")
        assert hashlib.sha256(head.data).digest() == _shard(model, "lm_head.weight").sha256
    with Store(model, writable=True) as kept:
        kept.set_meta({"source": str(tmp_path / "gone")})
    _spoil(model, _shard(model, "model.norm.weight"))
    with CachedStore(model, 1 << 30, wait=False) as store, pytest.raises(CorruptShard, match=r"model\.norm"):
        store.wait()


def test_nothing_is_read_ahead_while_rows_are(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    with CachedStore(model, _budget(model, 8), warm=False) as store:

        def take(*_: object) -> tuple[None, None]:
            store.hint(1, [6, 2])
            time.sleep(0.05)
            found.append(store.report()["ahead_loads"])
            return None, None

        monkeypatch.setattr(store._dense, "take", take)
        store.rows(EMBEDDING, np.zeros(1, np.int32))
        assert found == [0]
        _settled(store, lambda report: report["ahead_loads"] == 2)  # and goes on afterwards


def test_several_threads_share_few_slots(model: Path, right: Callable[[int, int, Expert], bool]) -> None:
    def work(store: CachedStore, seed: int) -> bool:
        random, good = np.random.default_rng(seed), True
        for _ in range(150):
            layer = int(random.integers(LAYERS))
            ids = random.choice(EXPERTS, int(random.integers(1, 5)), replace=False).tolist()
            with store.experts(layer, ids) as experts:
                good &= all(right(layer, expert, got) for expert, got in zip(ids, experts, strict=True))
        return good

    with CachedStore(model, _budget(model, 8)) as store, ThreadPoolExecutor(3) as pool:
        assert all(pool.map(lambda seed: work(store, seed), range(3)))
        assert all(slot.pins == 0 for slot in store._table.slots)


def test_an_exception_inside_the_context_unpins(model: Path) -> None:
    with CachedStore(model, _budget(model, 8)) as store:
        with pytest.raises(ZeroDivisionError), store.experts(0, [1, 2]):
            raise ZeroDivisionError
        assert all(slot.pins == 0 for slot in store._table.slots)


def test_closing_ends_threads_and_descriptors(model: Path) -> None:
    def descriptors() -> set[str]:
        return {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}

    threads = threading.active_count()
    store = CachedStore(model, 1 << 30, direct=True)
    store.hint(0, [1, 2, 3])
    store.close()
    store.close()
    assert threading.active_count() == threads
    assert not any(str(model) in name for name in descriptors())


def test_an_unfinished_pack_is_not_served(tmp_path: Path) -> None:
    def die(_: object) -> None:
        raise KeyboardInterrupt

    folder = folders.write(tmp_path / "src")
    with pytest.raises(KeyboardInterrupt):
        pack(folder, tmp_path / "m.kbm", tell=die)
    with pytest.raises(BadModel, match="not packed to its end"):
        CachedStore(tmp_path / "m.kbm.part", 1 << 30)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("weights-")]


def test_one_shard_is_read_by_several_threads_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that none waits for another's last long read while the disk has nothing to do."""
    source = folders.write(tmp_path / "src", mxfp4=True, hidden_size=256, intermediate_size=256)
    path = pack(source, tmp_path / "wide.kbm", page_size=4096)
    monkeypatch.setattr("kb.llm.local.reader.STAGING", 4096)  # a page
    with CachedStore(path, 1 << 30, direct=True, warm=False) as store:
        if store.reader != "direct":
            pytest.skip("this file system has no direct reads")
        inside: dict[int, int] = {}
        most: dict[int, int] = {}
        read_part = PageReader.read_part

        def watched(self: PageReader, shard: Shard, out: np.ndarray, part: int) -> None:
            inside[shard.id] = inside.get(shard.id, 0) + 1
            most[shard.id] = max(most.get(shard.id, 0), inside[shard.id])
            time.sleep(0.005)
            read_part(self, shard, out, part)
            inside[shard.id] -= 1

        with monkeypatch.context() as patch:
            patch.setattr(PageReader, "read_part", watched)
            with store.experts(0, [3]) as experts:
                bytes_ = experts[0].gate_up.data.tobytes()
        assert max(most.values()) >= 2
    with CachedStore(path, 1 << 30, direct=False, warm=False) as store, store.experts(0, [3]) as experts:
        assert experts[0].gate_up.data.tobytes() == bytes_
