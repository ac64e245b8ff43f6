"""Tiny GGUFs with random F32 weights, one per kind of memory that llama.cpp has.

Layer ratios are those of real models; widths are as small as llama.cpp takes. The vocabulary is the
256 bytes, so a text is tokenised byte by byte. The same architecture always gives the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from gguf import GGUFValueType, GGUFWriter, TokenType
from numpy.typing import NDArray

Weights: TypeAlias = NDArray[np.float32]

WIDTH = 64
HEADS, KV_HEADS = 4, 2
HEAD_WIDTH = WIDTH // HEADS
FFN_WIDTH = 96
WINDOW = 24
"""Tokens that a sliding-window layer sees."""

STATE, GROUPS, SSM_HEADS, KERNEL = 16, 1, 8, 4
INNER = 2 * WIDTH

_BOS, _EOS = 1, 2
_SPECIALS = ("<unk>", "<s>", "</s>")


class _Writer:
    """A GGUF being written: hyperparameters by llama.cpp's names, tensors of random numbers."""

    def __init__(self, path: Path, architecture: str, n_layers: int) -> None:
        self.gguf = GGUFWriter(path, architecture)
        self.merged: Mapping[str, Weights] = {}
        self._rng = np.random.default_rng(7)
        self.gguf.add_block_count(n_layers)
        self.gguf.add_context_length(4096)
        self.gguf.add_embedding_length(WIDTH)
        self.gguf.add_layer_norm_rms_eps(1e-5)
        self._add_vocabulary()
        self.matrix("token_embd", len(_SPECIALS) + 256, WIDTH, scale=1.0)

    def _add_vocabulary(self) -> None:
        self.gguf.add_tokenizer_model("llama")
        self.gguf.add_tokenizer_pre("default")
        self.gguf.add_token_list([*_SPECIALS, *(f"<0x{b:02X}>" for b in range(256))])
        n_special = len(_SPECIALS)
        self.gguf.add_token_scores([0.0] * (n_special + 256))
        types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
        self.gguf.add_token_types(types)
        self.gguf.add_bos_token_id(_BOS)
        self.gguf.add_eos_token_id(_EOS)
        self.gguf.add_unk_token_id(0)
        self.gguf.add_add_space_prefix(False)

    def tensor(self, name: str, *shape: int, low: float, high: float) -> None:
        """A tensor with numbers of [low, high)."""
        data = self._rng.uniform(low, high, shape) + self.merged.get(name, 0)
        self.gguf.add_tensor(name, data.astype(np.float32))

    def matrix(self, name: str, n_out: int, n_in: int, *, scale: float = 1.0) -> None:
        """A weight that keeps a vector's length, times about `scale`."""
        bound = scale * (3 / n_in) ** 0.5
        self.tensor(f"{name}.weight", n_out, n_in, low=-bound, high=bound)

    def norm(self, name: str, *shape: int, scale: float = 1.0) -> None:
        self.tensor(f"{name}.weight", *(shape or (WIDTH,)), low=0.8 * scale, high=1.2 * scale)

    def attention(self, block: str, *, head_norms: bool = False) -> None:
        """Query, key, value and output, with norms of queries and keys where wanted."""
        self.matrix(f"{block}.attn_q", WIDTH, WIDTH)
        self.matrix(f"{block}.attn_k", KV_HEADS * HEAD_WIDTH, WIDTH)
        self.matrix(f"{block}.attn_v", KV_HEADS * HEAD_WIDTH, WIDTH)
        self.matrix(f"{block}.attn_output", WIDTH, WIDTH)
        if head_norms:
            self.norm(f"{block}.attn_q_norm", HEAD_WIDTH)
            self.norm(f"{block}.attn_k_norm", HEAD_WIDTH)

    def feed_forward(self, block: str) -> None:
        self.norm(f"{block}.ffn_norm")
        self.matrix(f"{block}.ffn_gate", FFN_WIDTH, WIDTH)
        self.matrix(f"{block}.ffn_up", FFN_WIDTH, WIDTH)
        self.matrix(f"{block}.ffn_down", WIDTH, FFN_WIDTH)

    def add_state_space(self) -> None:
        """Hyperparameters of Mamba-2 layers."""
        self.gguf.add_ssm_conv_kernel(KERNEL)
        self.gguf.add_ssm_inner_size(INNER)
        self.gguf.add_ssm_state_size(STATE)
        self.gguf.add_ssm_time_step_rank(SSM_HEADS)
        self.gguf.add_ssm_group_count(GROUPS)

    def state_space(self, block: str) -> None:
        """A Mamba-2 layer."""
        mixed = INNER + 2 * GROUPS * STATE
        self.matrix(f"{block}.ssm_in", INNER + mixed + SSM_HEADS, WIDTH)
        self.tensor(f"{block}.ssm_conv1d.weight", mixed, KERNEL, low=-1, high=1)
        self.tensor(f"{block}.ssm_conv1d.bias", mixed, low=-0.1, high=0.1)
        self.tensor(f"{block}.ssm_dt.bias", SSM_HEADS, low=-4, high=-2)  # a memory of 20-50 tokens
        self.tensor(f"{block}.ssm_a", SSM_HEADS, 1, low=-1.5, high=-0.5)
        self.tensor(f"{block}.ssm_d", SSM_HEADS, 1, low=0.5, high=1.5)
        self.norm(f"{block}.ssm_norm", GROUPS, INNER // GROUPS)
        self.matrix(f"{block}.ssm_out", WIDTH, INNER)

    def short_convolution(self, block: str) -> None:
        """An LFM2 layer: a gated convolution over the last few tokens."""
        self.tensor(f"{block}.shortconv.conv.weight", WIDTH, KERNEL, low=-1, high=1)
        self.matrix(f"{block}.shortconv.in_proj", 3 * WIDTH, WIDTH)
        self.matrix(f"{block}.shortconv.out_proj", WIDTH, WIDTH)

    def close(self) -> None:
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()


def _mamba2(path: Path) -> _Writer:
    writer = _Writer(path, "mamba2", n_layers := 4)
    writer.gguf.add_feed_forward_length(0)
    writer.gguf.add_head_count(0)
    writer.add_state_space()
    writer.norm("output_norm")
    for i in range(n_layers):
        writer.norm(f"blk.{i}.attn_norm")
        writer.state_space(f"blk.{i}")
    return writer


def _granite_hybrid(path: Path) -> _Writer:
    """Granite 4.0 H: one layer in ten attends, without positions; the others are Mamba-2."""
    writer = _Writer(path, "granitehybrid", n_layers := 10)
    attends = [i == 5 for i in range(n_layers)]
    writer.gguf.add_feed_forward_length(FFN_WIDTH)
    writer.gguf.add_head_count(HEADS)
    writer.gguf.add_head_count_kv([KV_HEADS if attend else 0 for attend in attends])
    writer.gguf.add_rope_scaling_finetuned(False)
    writer.add_state_space()
    writer.norm("output_norm")
    for i, attend in enumerate(attends):
        writer.norm(f"blk.{i}.attn_norm")
        (writer.attention if attend else writer.state_space)(f"blk.{i}")
        writer.feed_forward(f"blk.{i}")
    return writer


def _lfm2(path: Path, window: int = 0) -> _Writer:
    """LFM2: six of sixteen layers attend, the others are short convolutions."""
    writer = _Writer(path, "lfm2", n_layers := 16)
    attends = [i in (2, 5, 8, 10, 12, 14) for i in range(n_layers)]
    writer.gguf.add_feed_forward_length(FFN_WIDTH)
    writer.gguf.add_head_count(HEADS)
    writer.gguf.add_head_count_kv([KV_HEADS if attend else 0 for attend in attends])
    writer.gguf.add_shortconv_l_cache(KERNEL)
    if window:
        writer.gguf.add_sliding_window(window)
    writer.norm("token_embd_norm")
    for i, attend in enumerate(attends):
        writer.norm(f"blk.{i}.attn_norm")
        if attend:
            writer.attention(f"blk.{i}", head_norms=True)
        else:
            writer.short_convolution(f"blk.{i}")
        writer.feed_forward(f"blk.{i}")
    return writer


def _gemma3(path: Path) -> _Writer:
    """Gemma 3: five of six layers see a window only."""
    writer = _Writer(path, "gemma3", n_layers := 6)
    writer.gguf.add_feed_forward_length(FFN_WIDTH)
    writer.gguf.add_head_count(HEADS)
    writer.gguf.add_head_count_kv(KV_HEADS)
    writer.gguf.add_sliding_window(WINDOW)
    writer.norm("output_norm")
    for i in range(n_layers):
        block = f"blk.{i}"
        writer.norm(f"{block}.attn_norm")
        writer.attention(block, head_norms=True)
        writer.norm(f"{block}.post_attention_norm")
        # llama.cpp looks GELU up in a table of F16: its steps, normed, would move logits by 0.001
        writer.feed_forward(block)
        writer.norm(f"{block}.post_ffw_norm", scale=0.01)
    return writer


ARCHITECTURES: dict[str, Callable[[Path], _Writer]] = {
    "mamba2": _mamba2,
    "granitehybrid": _granite_hybrid,
    "lfm2": _lfm2,
    "lfm2-window": partial(_lfm2, window=WINDOW),
    "gemma3": _gemma3,
}


def write_tiny_model(name: str, folder: Path) -> Path:
    """The GGUF of one of `ARCHITECTURES`, written into `folder`."""
    path = folder / f"tiny-{name}.gguf"
    ARCHITECTURES[name](path).close()
    return path


def write_plain_model(path: Path, merged: Mapping[str, Weights] = MappingProxyType({})) -> Path:
    """A GGUF of plain attention layers, whose memory can be cut anywhere, at `path`.

    `merged` is added to the weights of those names, as `lora` makes them.
    """
    writer = _Writer(path, "llama", n_layers := 2)
    writer.merged = merged
    writer.gguf.add_feed_forward_length(FFN_WIDTH)
    writer.gguf.add_head_count(HEADS)
    writer.gguf.add_head_count_kv(KV_HEADS)
    writer.norm("output_norm")
    for i in range(n_layers):
        writer.norm(f"blk.{i}.attn_norm")
        writer.attention(f"blk.{i}")
        writer.feed_forward(f"blk.{i}")
    writer.close()
    return path


def lora(seed: int, rank: int = 4) -> dict[str, tuple[Weights, Weights]]:
    """A random LoRA of `write_plain_model`'s weights: A and B by the tensor's name."""
    rng = np.random.default_rng(seed)
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_v": (KV_HEADS * HEAD_WIDTH, WIDTH)}
    shapes["ffn_down"] = (WIDTH, FFN_WIDTH)
    return {
        f"blk.{i}.{name}.weight": (
            (rng.standard_normal((rank, n_in)) / n_in**0.5).astype(np.float32),
            (rng.standard_normal((n_out, rank)) / rank**0.5).astype(np.float32),
        )
        for i in range(2)
        for name, (n_out, n_in) in shapes.items()
    }


def write_adapter(
    path: Path,
    tensors: Mapping[str, tuple[Weights, Weights]],
    *,
    architecture: str = "llama",
    alpha: float,
    invoked_by: Sequence[int] = (),
) -> Path:
    """A LoRA adapter as GGUF, at `path`: B A alpha / rank is added to each weight."""
    gguf = GGUFWriter(path, architecture)
    gguf.add_type("adapter")
    gguf.add_string("adapter.type", "lora")
    gguf.add_float32("adapter.lora.alpha", alpha)
    if invoked_by:
        gguf.add_key_value(
            "adapter.alora.invocation_tokens",
            invoked_by,
            GGUFValueType.ARRAY,
            GGUFValueType.UINT32,
        )
    for name, (a, b) in tensors.items():
        gguf.add_tensor(f"{name}.lora_a", a)
        gguf.add_tensor(f"{name}.lora_b", b)
    gguf.write_header_to_file()
    gguf.write_kv_data_to_file()
    gguf.write_tensors_to_file()
    gguf.close()
    return path


def write_vocabulary(architecture: str, folder: Path) -> Path:
    """A GGUF of any architecture that can be loaded for its vocabulary alone."""
    path = folder / f"vocabulary-{architecture}.gguf"
    _Writer(path, architecture, n_layers=1).close()
    return path
