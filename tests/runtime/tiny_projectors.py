"""Tiny projectors with random F32 weights for the models of `tiny_models.py`, and images for them.

A projector is LLaVA's: a CLIP encoder of 16 patches, one layer of which is used, and two linear
layers. Its GELU is the one that needs no table of F16, whose steps would hide small differences.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

PATCHES = 16
"""Positions of an image."""

_SIDE, _PATCH = 16, 4  # pixels
_WIDTH, _FFN_WIDTH, _HEADS, _LAYERS = 32, 48, 2, 2


def write_projector(
    path: Path, n_embd: int, *, seed: int = 3, kind: str = "mlp", in_tiles: bool = False
) -> Path:
    """A projector for models of width `n_embd`, at `path`.

    One that reads `in_tiles` cuts an image in two, and has an overview of it, too.
    """
    gguf = GGUFWriter(path, "clip")
    rng = np.random.default_rng(seed)

    def tensor(name: str, *shape: int, scale: float = 1.0) -> None:
        bound = scale * (3 / shape[-1]) ** 0.5
        gguf.add_tensor(name, rng.uniform(-bound, bound, shape).astype(np.float32))

    gguf.add_bool("clip.has_vision_encoder", True)
    gguf.add_string("clip.projector_type", kind)
    gguf.add_bool("clip.use_silu", True)
    for key, value in {
        "embedding_length": _WIDTH,
        "attention.head_count": _HEADS,
        "feed_forward_length": _FFN_WIDTH,
        "block_count": _LAYERS,
        "projection_dim": _WIDTH,
        "image_size": _SIDE,
        "patch_size": _PATCH,
    }.items():
        gguf.add_uint32(f"clip.vision.{key}", value)
    gguf.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    gguf.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    gguf.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    if in_tiles:
        gguf.add_array("clip.vision.image_grid_pinpoints", [_SIDE, 2 * _SIDE, 2 * _SIDE, _SIDE])
    tensor("v.patch_embd.weight", _WIDTH, 3, _PATCH, _PATCH, scale=0.3)
    tensor("v.position_embd.weight", PATCHES, _WIDTH)
    for i in range(_LAYERS):
        block = f"v.blk.{i}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensor(f"{block}.{name}.weight", _WIDTH, _WIDTH)
        for name in ("ln1", "ln2"):
            gguf.add_tensor(f"{block}.{name}.weight", np.ones(_WIDTH, np.float32))
            gguf.add_tensor(f"{block}.{name}.bias", np.zeros(_WIDTH, np.float32))
        tensor(f"{block}.ffn_up.weight", _FFN_WIDTH, _WIDTH)
        tensor(f"{block}.ffn_down.weight", _WIDTH, _FFN_WIDTH)
    if kind == "idefics3":
        tensor("mm.model.fc.weight", n_embd, 4 * _WIDTH)
        gguf.add_uint32("clip.vision.projector.scale_factor", 2)
    elif kind == "gemma3":
        tensor("mm.input_projection.weight", _WIDTH, n_embd)
        gguf.add_tensor("mm.soft_emb_norm.weight", np.ones(_WIDTH, np.float32))
    else:
        tensor("mm.0.weight", n_embd, _WIDTH)
        tensor("mm.0.bias", n_embd, scale=0.1)
        tensor("mm.2.weight", n_embd, n_embd)
        tensor("mm.2.bias", n_embd, scale=0.1)
    gguf.write_header_to_file()
    gguf.write_kv_data_to_file()
    gguf.write_tensors_to_file()
    gguf.close()
    return path


def png(seed: int, width: int = 30, height: int = 20) -> bytes:
    """A PNG of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
