"""llama.cpp on random weights of the same shapes: writes a GGUF, then decodes tokens through the C interface."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import gguf
import llama_cpp as llama
import numpy as np
from gguf import GGMLQuantizationType as Kind

from kb.llm.local.config import ModelConfig


def write_gguf(path: Path, config: ModelConfig, experts: str) -> None:
    """A gpt-oss GGUF; dense parts Q8_0, experts 'q8_0' or 'mxfp4', as the published files have them."""
    writer = gguf.GGUFWriter(path, "gpt-oss")
    scaling = config.rope_scaling
    assert scaling is not None
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.max_position)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_expert_feed_forward_length(config.intermediate_size)
    writer.add_expert_count(config.num_experts)
    writer.add_expert_used_count(config.experts_per_token)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_sliding_window(config.sliding_window)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(scaling.factor)
    writer.add_rope_scaling_orig_ctx_len(scaling.original_max_position)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    tensors = list(_tensors(config, Kind.MXFP4 if experts == "mxfp4" else Kind.Q8_0))
    for name, shape, kind in tensors:
        size = _bytes(shape, kind)
        raw = None if kind == Kind.F32 else kind
        writer.add_tensor_info(
            name, _raw_shape(shape, kind), np.dtype(np.float32 if raw is None else np.uint8), size, raw
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(0)
    pool = random.integers(0, 256, 48 << 20, dtype=np.uint8)
    for name, shape, kind in tensors:
        writer.write_tensor_data(_values(name, shape, kind, pool, random))
    writer.close()


def _tensors(config: ModelConfig, experts: Kind) -> Iterator[tuple[str, tuple[int, ...], Kind]]:
    h, q, kv, e, inner = (
        config.hidden_size,
        config.q_size,
        config.kv_size,
        config.num_experts,
        config.intermediate_size,
    )
    yield "token_embd.weight", (config.vocab_size, h), Kind.Q8_0
    for layer in range(config.num_layers):
        at = f"blk.{layer}."
        for name, rows, cols in (
            ("attn_q", q, h),
            ("attn_k", kv, h),
            ("attn_v", kv, h),
            ("attn_output", h, q),
        ):
            yield f"{at}{name}.weight", (rows, cols), Kind.Q8_0
            yield f"{at}{name}.bias", (rows,), Kind.F32
        yield at + "attn_sinks.weight", (config.num_heads,), Kind.F32
        yield at + "attn_norm.weight", (h,), Kind.F32
        yield at + "post_attention_norm.weight", (h,), Kind.F32
        yield at + "ffn_gate_inp.weight", (e, h), Kind.F32
        yield at + "ffn_gate_inp.bias", (e,), Kind.F32
        for name, rows, cols in (("gate", inner, h), ("up", inner, h), ("down", h, inner)):
            yield f"{at}ffn_{name}_exps.weight", (e, rows, cols), experts
            yield f"{at}ffn_{name}_exps.bias", (e, rows), Kind.F32
    yield "output_norm.weight", (h,), Kind.F32
    yield "output.weight", (config.vocab_size, h), Kind.Q8_0


def _bytes(shape: tuple[int, ...], kind: Kind) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return int(np.prod(shape)) // block * size


def _raw_shape(shape: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return shape if kind == Kind.F32 else (*shape[:-1], shape[-1] // block * size)


def _values(
    name: str, shape: tuple[int, ...], kind: Kind, pool: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    if kind == Kind.F32:
        values = random.standard_normal(shape).astype(np.float32)
        if "norm" in name:
            return (1 + 0.1 * values).astype(np.float32)
        return (
            values / np.float32(shape[-1] ** 0.5)
            if "gate_inp.weight" in name
            else np.zeros(shape, np.float32)
        )
    _, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.resize(pool, _bytes(shape, kind)).reshape(-1, size)
    if kind == Kind.Q8_0:
        data[:, :2] = np.array([2.0**-12], np.float16).view(np.uint8)
    else:
        data[:, 0] = 127 - 8
    return data.reshape(_raw_shape(shape, kind))


class LlamaCpp:
    """One loaded GGUF with a context for several sequences."""

    def __init__(self, path: Path, threads: int, users: int, context: int) -> None:
        llama.llama_backend_init()
        self._quiet = llama.llama_log_callback(lambda level, text, data: None)
        llama.llama_log_set(self._quiet, ctypes.c_void_p(0))
        options = llama.llama_model_default_params()
        options.n_gpu_layers = 0
        # its buffers for AMX crash at the first batch (llama-cpp-python 0.3.36, Xeon with amx_int8), with them goes repacking
        options.use_extra_bufts = " amx_tile " not in Path("/proc/cpuinfo").read_text()
        self._model = llama.llama_model_load_from_file(str(path).encode(), options)
        if not self._model:
            raise RuntimeError("llama.cpp could not load the file")
        settings = llama.llama_context_default_params()
        settings.n_ctx = context * users
        settings.n_batch = settings.n_ubatch = 512
        settings.n_seq_max = users
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama.llama_init_from_model(self._model, settings)
        if not self._context:
            raise RuntimeError("llama.cpp could not make a context")
        self._batch = llama.llama_batch_init(512, 0, users)

    def forward(self, tokens: np.ndarray, users: int, position: int) -> None:
        """`tokens` split evenly over the first `users` sequences, from `position` on; logits of each last one."""
        each = len(tokens) // users
        batch = self._batch
        for start in range(0, each, 512 // users):
            count = 0
            for user in range(users):
                for i in range(start, min(each, start + 512 // users)):
                    batch.token[count] = int(tokens[user * each + i])
                    batch.pos[count] = position + i
                    batch.n_seq_id[count] = 1
                    batch.seq_id[count][0] = user
                    batch.logits[count] = i + 1 == each
                    count += 1
            batch.n_tokens = count
            if llama.llama_decode(self._context, batch):
                raise RuntimeError("llama_decode failed")
        llama.llama_synchronize(self._context)

    def clear(self) -> None:
        """Forget all sequences."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)

    def cut(self, users: int, position: int) -> None:
        """Forget everything from `position` on."""
        memory = llama.llama_get_memory(self._context)
        for user in range(users):
            llama.llama_memory_seq_rm(memory, user, position, -1)
