"""Marian, NLLB and M2M-100 models through Hugging Face Transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dormant.devices import pick_device, wanted
from dormant.errors import DormantError, one_line
from dormant.prompts.text_transform import all_or_raise
from dormant.translation.engine import Pair, TranslationError, unavailable
from dormant.translation.languages import by_code, by_name
from dormant.translation.marks import restore, spell_out

DEFAULT = "Helsinki-NLP/opus-mt-{source}-{target}"
"""Marian models, one a direction."""

_BEAMS = 4
_BATCH = 16
_TOKENS_PER_TOKEN = 3
_TOKENS_AT_LEAST = 32


@dataclass
class HuggingFace:
    """A sequence-to-sequence model, or a family of models with one a direction.

    Attributes:
        model: An id or directory. ``{source}`` and ``{target}`` in it stand for the language
            codes, so Marian's two directions are one name; without them, one model does all pairs
            (NLLB, M2M-100).
    """

    model: str = DEFAULT
    name: str = field(default="hf", init=False)
    _loaded: dict[tuple[str, str], tuple[Any, Any]] = field(
        default_factory=dict[tuple[str, str], tuple[Any, Any]], init=False, repr=False
    )

    def pairs(self) -> list[Pair]:
        """Return every pair of languages: which the model has shows when it is loaded."""
        codes = [one.code for one in by_name().values()]
        return [(one, other) for one in codes for other in codes if one != other]

    def version(self, source: str, target: str) -> str:
        """Return the model's name, with its commit (hub) or a digest of its weights (directory)."""
        name = self._path(source, target)
        directory = Path(name).expanduser()
        if directory.is_dir():
            return f"{directory.name}-{_weights_digest(directory)}"
        model, _ = self._load(source, target)
        commit = getattr(model.config, "_commit_hash", None)
        return f"{name}@{commit[:12]}" if commit else name

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts of one line each, by beam search.

        Raises:
            BatchError: Some texts are too long, or their translation did not come to an end.
            DormantError: The model can't be loaded, or doesn't have the languages.
        """
        model, tokenizer = self._load(source, target)
        forced = self._languages(tokenizer, source, target)
        spelt = [spell_out(text) for text in texts]
        longest = min(int(tokenizer.model_max_length), _positions(model))
        results: list[str | DormantError] = []
        for start in range(0, len(texts), _BATCH):
            rows = spelt[start : start + _BATCH]
            made = self._batch(model, tokenizer, [text for text, _ in rows], longest, forced)
            results += [
                restore(one.text, names)
                if one.reason is None
                else TranslationError(self.name, text, one.reason)
                for text, (_, names), one in zip(texts[start:], rows, made, strict=False)
            ]
        return all_or_raise(results)

    def _batch(
        self, model: Any, tokenizer: Any, texts: list[str], longest: int, forced: int | None
    ) -> list[_Answer]:
        import torch

        lengths = [len(row) for row in tokenizer(texts)["input_ids"]]
        fitting = [text for text, n in zip(texts, lengths, strict=True) if n <= longest]
        answers: list[_Answer] = []
        if fitting:
            inputs = tokenizer(fitting, return_tensors="pt", padding=True).to(model.device)
            room = min(longest, max(_TOKENS_AT_LEAST, _TOKENS_PER_TOKEN * max(lengths)))
            extra = {} if forced is None else {"forced_bos_token_id": forced}
            with torch.inference_mode():
                outputs = model.generate(
                    **inputs, num_beams=_BEAMS, do_sample=False, max_new_tokens=room, **extra
                )
            ends = model.config.eos_token_id
            answers = [
                _Answer(
                    tokenizer.decode(row, skip_special_tokens=True),
                    None
                    if ends in row[1:].tolist()
                    else f"its translation had no end after {room} tokens",
                )
                for row in outputs
            ]
        done = iter(answers)
        return [
            next(done)
            if n <= longest
            else _Answer("", f"{n} tokens in one sentence; the model takes {longest}")
            for n in lengths
        ]

    def _path(self, source: str, target: str) -> str:
        return self.model.replace("{source}", source).replace("{target}", target)

    def _languages(self, tokenizer: Any, source: str, target: str) -> int | None:
        """Tell a multilingual tokenizer its languages; return the token of the target."""
        if "{target}" in self.model:
            return None
        for spelling in (_flores, _m2m):
            here, there = spelling(source), spelling(target)
            ids = [tokenizer.convert_tokens_to_ids(token[0]) for token in (here, there)]
            if all(one not in (None, tokenizer.unk_token_id) for one in ids):
                tokenizer.src_lang = here[1]
                return int(ids[1])
        raise unavailable(self.name, f"{self.model} doesn't know {source!r} and {target!r}")

    def _load(self, source: str, target: str) -> tuple[Any, Any]:
        path = self._path(source, target)
        try:
            device = pick_device(wanted())
        except ImportError as error:
            raise unavailable(self.name, "pip install 'dormant[models]'") from error
        if (path, device) not in self._loaded:
            try:
                from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
            except ImportError as error:
                raise unavailable(self.name, "pip install 'dormant[models]'") from error
            try:
                tokenizer: Any = AutoTokenizer.from_pretrained(path)
                model: Any = AutoModelForSeq2SeqLM.from_pretrained(path)
            except (OSError, ValueError, ImportError) as error:
                reason = one_line(error)
                raise unavailable(self.name, f"{path} can't be loaded: {reason}") from error
            self._loaded[path, device] = (model.eval().to(device), tokenizer)
        return self._loaded[path, device]


@dataclass(frozen=True)
class _Answer:
    text: str
    reason: str | None


@cache
def _weights_digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*")):
        if path.suffix in {".safetensors", ".bin", ".json", ".spm", ".model"}:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]


def _positions(model: Any) -> int:
    return int(getattr(model.config, "max_position_embeddings", 512))


def _flores(code: str) -> tuple[str, str]:
    name = by_code()[code].flores or ""
    return name, name


def _m2m(code: str) -> tuple[str, str]:
    return f"__{code}__", code
