"""The real encoder, with its real weights; and one that is not bundled, made here."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kb.errors import Broken, Invalid
from kb.index import open_encoder
from kb.index.encoder import SPELT, OpenVinoEncoder
from kb.index.encoder_files import locate
from kb.settings import Settings
from tests.kb.index import tiny_distil


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> OpenVinoEncoder:
    return open_encoder(Settings(data=tmp_path_factory.mktemp("state"), encoder_threads=1))


def test_meaning_is_near(bundled: OpenVinoEncoder) -> None:
    question = bundled.encode_question("How do I get my money back?")
    refund, weather = bundled.encode_documents(["Refunds are paid within five days.", "It rains in spring."])
    assert question @ refund > question @ weather + 0.2


def test_questions_and_documents_share_one_space_whatever_the_batch(bundled: OpenVinoEncoder) -> None:
    texts = ["short", "a somewhat longer text " * 20, "", "Ünïcode and 中文", "medium length text " * 5] * 3
    together = bundled.encode_documents(texts)
    assert together.shape == (len(texts), bundled.dim)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
    for text, vector in zip(texts, together, strict=True):
        assert bundled.encode_question(text) @ vector > 0.98  # both in int8, the rest in bf16 and float32


def test_no_documents_no_vectors(bundled: OpenVinoEncoder) -> None:
    assert bundled.encode_documents([]).shape == (0, 384)


def test_reads_256_tokens_and_says_so(bundled: OpenVinoEncoder) -> None:
    assert bundled.max_tokens == 256
    long = "word " * 254
    cut, same = bundled.encode_documents([long, long + "beyond the limit of what is read " * 50])
    assert cut @ same > 0.999


def test_token_spans_cover_the_text_untruncated(bundled: OpenVinoEncoder) -> None:
    text = "Überweisung of E-42, 中文 " * 200
    spans = bundled.token_spans(text)
    assert len(spans) > 1000
    covered = set().union(*(range(start, end) for start, end in spans))
    assert {at for at, character in enumerate(text) if not character.isspace()} <= covered


@pytest.mark.parametrize(
    ("text", "share"), [("hello", 1.0), ("你好", 0.0), ("TiDB 是否支持", 0.5), ("привет", 0.0), ("42", 1.0)]
)
def test_knows_latin_script_only(bundled: OpenVinoEncoder, text: str, share: float) -> None:
    assert bundled.covers(text) == pytest.approx(share)


@pytest.mark.parametrize(
    "text",
    [
        "Wie viele Urlaubstage habe ich?",
        "Quels sont les frais de port ?",
        "¿Me pagan el taxi?",
        "Hoe vaak mag dat?",
    ],
)
def test_knows_no_other_language_in_latin_letters(bundled: OpenVinoEncoder, text: str) -> None:
    assert bundled.covers(text) == pytest.approx(SPELT)
    assert bundled.covers("How many days of leave do the Müllers in Köln have?") == 1


def test_threads_may_share_it(bundled: OpenVinoEncoder) -> None:
    texts = [f"text number {n} " * (n + 1) for n in range(12)]
    alone = bundled.encode_documents(texts)
    found: dict[int, bool] = {}

    def work(n: int) -> None:
        rows = bundled.encode_documents(texts[n:])
        found[n] = bool(np.all((rows * alone[n:]).sum(axis=1) > 0.99))
        found[n] &= bool(bundled.encode_question(texts[n]) @ alone[n] > 0.98)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)


def test_serving_imports_no_torch() -> None:
    code = (
        "import sys, kb.index, kb.retrieval; from kb.settings import Settings;"
        "kb.index.open_encoder(Settings()).encode_question('hello');"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no-such-encoder"):
        locate("no-such-encoder", tmp_path)


TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10"]


@pytest.mark.slow
@pytest.mark.timeout(900)  # torch is imported, in a process of its own
def test_any_sentence_transformers_model_is_exported_once(tmp_path: Path) -> None:
    home = tmp_path / "tiny-distil"
    weights = tiny_distil.write(home)
    settings = Settings(data=tmp_path, encoder=str(home), encoder_threads=1, encoder_precision="fp32")
    encoder = open_encoder(settings)
    assert encoder.name.startswith("tiny-distil-")
    assert (encoder.dim, encoder.max_tokens) == (32, 64)
    expected = np.array([tiny_distil.encode(weights, text) for text in TEXTS])
    assert np.allclose(encoder.encode_documents(TEXTS), expected, atol=1e-4)
    files = locate(str(home), tmp_path / "encoder")  # from the cache: nothing is exported again
    (files.directory / "model.bin").write_bytes(b"damaged")
    with pytest.raises(Broken, match=r"model\.bin"):
        locate(str(home), tmp_path / "encoder")
