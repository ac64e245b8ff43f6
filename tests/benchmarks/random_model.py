"""Writes a GGUF of Qwen2.5-0.5B's shape with random weights: the speed of a size, no sense.

    python tests/benchmarks/random_model.py --vocabulary ggml-vocab-qwen2.gguf OUT.gguf

24 layers, 896 wide, 14 heads and 2 for keys and values, tied embeddings, all matrices Q8_0. The
vocabulary comes from another GGUF: llama.cpp's sources hold the vocabularies of several models,
`models/ggml-vocab-qwen2.gguf` is the one of this shape (152k tokens). Needs the package `gguf`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS, WIDTH, INNER = 24, 896, 4864
HEADS, KV_HEADS, HEAD = 14, 2, 64
SPREAD = 0.02
"""Standard deviation of the weights, as networks of this size are initialised."""
BLOCK = 32

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write(vocabulary: Path, out: Path, seed: int = 0) -> None:
    """Writes the model. Raises ImportError without `gguf`, ValueError for a file without tokens."""
    # by name, because neither it nor its types need be installed
    gguf: Any = importlib.import_module("gguf")
    fields = gguf.GGUFReader(vocabulary).fields
    if "tokenizer.ggml.tokens" not in fields:
        raise ValueError(f"{vocabulary} has no vocabulary; expected a ggml-vocab-*.gguf")
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("random weights, 0.5B")
    writer.add_block_count(LAYERS)
    writer.add_context_length(32768)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(1e6)
    for name, field in fields.items():
        if name.startswith("tokenizer.") and name != "tokenizer.chat_template":
            element = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=element)
    writer.add_chat_template(CHATML)
    draw = np.random.default_rng(seed)
    for name, rows, columns in _matrices(len(fields["tokenizer.ggml.tokens"].data)):
        blocks = _random_q8_0(draw, rows, columns)
        writer.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    for name in _norms():
        writer.add_tensor(name, np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _matrices(n_vocab: int) -> Iterator[tuple[str, int, int]]:
    """Name, rows (outputs) and columns (inputs)."""
    yield "token_embd.weight", n_vocab, WIDTH
    for layer in range(LAYERS):
        for name, rows, columns in (
            ("attn_q", HEADS * HEAD, WIDTH),
            ("attn_k", KV_HEADS * HEAD, WIDTH),
            ("attn_v", KV_HEADS * HEAD, WIDTH),
            ("attn_output", WIDTH, HEADS * HEAD),
            ("ffn_gate", INNER, WIDTH),
            ("ffn_up", INNER, WIDTH),
            ("ffn_down", WIDTH, INNER),
        ):
            yield f"blk.{layer}.{name}.weight", rows, columns


def _norms() -> Iterator[str]:
    yield "output_norm.weight"
    for layer in range(LAYERS):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"


def _random_q8_0(draw: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    """A matrix as Q8_0 lays it out: for each 32 weights a scale in float16, then 32 bytes."""
    blocks = np.empty((rows, columns // BLOCK, 2 + BLOCK), np.uint8)
    scale = np.array([SPREAD / (127 / np.sqrt(3))], np.float16)
    blocks[:, :, :2] = scale.view(np.uint8)
    values = draw.integers(-127, 128, (rows, columns // BLOCK, BLOCK), np.int8)
    blocks[:, :, 2:] = values.view(np.uint8)
    return blocks.reshape(rows, -1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the file that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--vocabulary", type=Path, required=True, help="a GGUF with a tokeniser")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        write(options.vocabulary, options.out, options.seed)
    except ImportError:
        print("this needs the package gguf: pip install gguf", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {options.out.stat().st_size >> 20} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
