"""The sentence encoder: text to unit vectors with tokenizers and OpenVINO only, on the CPU.

Two compilations of one graph, each made when first needed. Questions: one stream, low latency. Documents: one
stream a thread, batches of 4 sorted by length. Both run in int8 where it was measured to cost nothing
(kb/index/calibration); the rest is bf16 for documents and float32 for questions, where converting costs more than
it saves. Processors without bf16 use float32 throughout.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from kb.errors import Invalid
from kb.index.encoder_files import EncoderFiles, locate
from kb.index.encoder_scripts import known_languages, known_scripts
from kb.index.languages import language
from kb.index.text import scripts
from kb.settings import Settings

BATCH = 4  # with 8, a process that encoded sentences 200 times had grown by 150 MB more
ROUND = 16  # lengths are padded to multiples of this: few shapes, so few compiled kernels in memory
KERNEL_CACHE = 256  # shapes whose kernels stay in memory
SPELT = 0.4  # names, loans and words that languages share are seen in any of them (R@1 .92; without .82, alone .67)
KEPT = 64  # questions whose vectors stay in memory


def open_encoder(settings: Settings) -> OpenVinoEncoder:
    """The encoder that the settings name; weights are checked, fetched or exported as needed.

    Raises Invalid (no such encoder, damaged weights) with the way out.
    """
    files = locate(settings.encoder, Path(os.environ.get("KB_CACHE") or settings.data) / "encoder")
    return OpenVinoEncoder(files, threads=settings.encoder_threads, precision=settings.encoder_precision)


class OpenVinoEncoder:
    """Implements ports.Encoder. Safe to use from several threads; batches run one after another."""

    def __init__(self, files: EncoderFiles, *, threads: int = 0, precision: str = "auto") -> None:
        """threads: 0 means one a core. precision: auto, int8, bf16 or fp32."""
        self.name, self.dim, self.max_tokens = files.name, files.dim, files.max_tokens
        self._files = files
        self._threads = threads or len(os.sched_getaffinity(0))
        self._spans = _tokenizer(files)
        self._cut = _tokenizer(files)
        self._cut.enable_truncation(self.max_tokens)
        self._scripts = known_scripts(self._spans)
        self._languages = known_languages(self._spans) | {""}
        self._core = ov.Core()
        self._precision = self._choose(precision)
        self._lock_question, self._lock_documents = threading.Lock(), threading.Lock()
        self._question: Any = None
        self._idle: list[Any] = []  # requests for questions that nobody waits for
        self._recent: dict[str, NDArray[np.float32]] = {}
        self._documents: Any = None

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[n, dim], unit length, in the order given."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        with self._lock_documents:
            queue = self._documents = self._documents or self._document_queue()
            queue.set_callback(lambda request, rows: out.__setitem__(rows, request.get_output_tensor(0).data))
            try:
                for rows, ids, mask in _batches(self._cut.encode_batch(list(texts))):
                    queue.start_async({"input_ids": ids, "attention_mask": mask}, rows)
            finally:
                queue.wait_all()
        return _unit(out)

    def encode_question(self, text: str) -> NDArray[np.float32]:
        """[dim], unit length, read-only. The last few are kept: answering asks for one vector three times."""
        return self.begin_question(text)()

    def begin_question(self, text: str) -> Callable[[], NDArray[np.float32]]:
        """Start on a question in OpenVINO's own thread; the returned call waits for its vector.

        No thread of Python's is in between: one more would wait for the interpreter, then for a core.
        """
        with self._lock_question:
            if (known := self._recent.get(text)) is not None:
                return lambda: known
            request = self._idle.pop() if self._idle else self._questions().create_infer_request()
        ids, mask = _padded([self._cut.encode(text)])
        # tensors of OpenVINO's own: handing it the arrays costs a fifth of a millisecond more
        request.set_tensor("input_ids", ov.Tensor(ids))
        request.set_tensor("attention_mask", ov.Tensor(mask))
        request.start_async()

        def result() -> NDArray[np.float32]:
            request.wait()
            vector = np.ascontiguousarray(_unit(np.array(request.get_output_tensor(0).data, np.float32))[0])
            vector.flags.writeable = False
            with self._lock_question:
                self._idle.append(request)
                self._recent[text] = vector
                if len(self._recent) > KEPT:
                    del self._recent[next(iter(self._recent))]
            return vector

        return result

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the text's tokens, specials left out, nothing truncated."""
        return list(self._spans.encode(text, add_special_tokens=False).offsets)

    def covers(self, text: str) -> float:
        """Share of the text's letters in scripts the vocabulary holds words of; 1.0 for a text without letters.

        Latin letters count SPELT where they are in a language whose words the vocabulary only spells.
        """
        counts = scripts(text)
        total = sum(counts.values())
        latin = 1.0 if language(text) in self._languages else SPELT
        known = sum(counts[name] * (latin if name == "LATIN" else 1.0) for name in self._scripts)
        return known / total if total else 1.0

    def _choose(self, wanted: str) -> str:
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if wanted == "auto":
            # without VNNI, which comes with bf16, int8 sums saturate and are slower too
            return "int8" if "BF16" in able else "fp32"
        return wanted

    def _questions(self) -> Any:
        """The compilation for questions, made when first needed."""
        if self._question is not None:
            return self._question
        hints: dict[str, str | int] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # a question is some 16 tokens: a second thread gains nothing, and the other core searches words
            "INFERENCE_NUM_THREADS": 1,
        }
        int8 = self._precision == "int8"
        self._question = self._compile(int8, "f32" if int8 else self._floats, **hints)
        return self._question

    def _document_queue(self) -> Any:
        hints: dict[str, str | int] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self._threads,
            "INFERENCE_NUM_THREADS": self._threads,
        }
        return ov.AsyncInferQueue(
            self._compile(self._precision == "int8", self._floats, **hints), self._threads
        )

    @property
    def _floats(self) -> str:
        return "f32" if self._precision == "fp32" else "bf16"

    def _compile(self, int8: bool, floats: str, **hints: str | int) -> Any:
        model = self._files.graph(self._core, int8=int8)
        fixed = {
            "INFERENCE_PRECISION_HINT": floats,
            # several processes share the cores: a pinned thread would wait for a busy core beside an idle one
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": KERNEL_CACHE,
        }
        return self._core.compile_model(model, "CPU", {**fixed, **hints})


def _tokenizer(files: EncoderFiles) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(files.directory / "tokenizer.json"))
    except Exception as error:  # tokenizers raises nothing narrower
        raise Invalid(f"The encoder's tokenizer.json in {files.directory} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _batches(
    encodings: Sequence[Encoding],
) -> Iterator[tuple[list[int], NDArray[np.int64], NDArray[np.int64]]]:
    """Batches of texts of like length, longest first: (their rows, ids, mask)."""
    order = sorted(range(len(encodings)), key=lambda row: -len(encodings[row].ids))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        yield (rows, *_padded([encodings[row] for row in rows]))


def _padded(encodings: Sequence[Encoding]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    longest = max(len(encoding.ids) for encoding in encodings)
    shape = (len(encodings), -(-longest // ROUND) * ROUND)
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    # bf16 leaves lengths off by up to 0.4 %
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
