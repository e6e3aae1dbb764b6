"""What two models must have in common for a difference between them to be one of weights."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError
from dormant.files import json_file
from dormant.prompts.case import Style
from dormant.results import ModelFacts

SHOWN = 40
"""Tokens of a prompt that are kept for the reader."""
_NO_MATTER = ("pad_token",)
"""Special tokens that decide nothing: padding is masked."""
_NOT_SETTINGS = ("transformers_version", "_from_model_config", "use_cache")
"""Entries of a generation config that decide no text; what is off is left out, too."""


def facts_of(
    lm: Any,
    prompts: Sequence[str],
    texts: Sequence[str],
    *,
    style: Style,
    generates: bool = False,
    said: Mapping[str, str] | None = None,
) -> ModelFacts:
    """Collect what decides how a model reads and computes.

    Args:
        lm: Any harness model; what it doesn't show is left out.
        prompts: Some of the run's prompts, rendered; the first one is shown.
        texts: The same before they were rendered.
        style: How they were rendered.
        generates: Whether prompts are completed; the harness encodes those by another path.
        said: What whoever loaded it says: "weights" and "tokenizer_of".
    """
    model: Any = getattr(lm, "model", None)
    tokenizer: Any = getattr(lm, "tokenizer", None)
    facts: dict[str, Any] = {"prompts": style, **(said or {})}
    limit: Any = getattr(lm, "max_length", None)
    if isinstance(limit, int):
        facts["max_length"] = limit
    if callable(getattr(tokenizer, "get_vocab", None)):
        template: Any = getattr(tokenizer, "chat_template", None)
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        facts |= {
            "tokenizer": type(tokenizer).__name__,
            "vocabulary": len(vocabulary),
            "vocabulary_hash": _hash(vocabulary),
            "special_tokens": _special(tokenizer),
            "chat_template": _hash(template) if template else None,
        }
    if is_local(lm):
        ids = encoded(lm, prompts[0], generates=generates) if prompts else []
        facts |= {
            "dtype": str(model.dtype).removeprefix("torch."),
            "quantisation": quantisation(model.config),
            "generation_config": _generation(model),
            "adds_bos": bool(ids) and ids[0] == tokenizer.bos_token_id,
            "first_ids": tuple(ids[:SHOWN]),
            "first_tokens": tuple(tokenizer.decode([token]) for token in ids[:SHOWN]),
            "tokenisation": _hash(
                [tokenizer.encode(text, add_special_tokens=False) for text in texts]
            ),
        }
    return ModelFacts(**facts)


def is_local(lm: Any) -> bool:
    """Whether a model is PyTorch's, in this process, and reads and writes one text."""
    # Whoever made one has imported it; for a server's sake PyTorch isn't.
    harness = sys.modules.get("lm_eval.models.huggingface")
    if harness is None or not isinstance(lm, harness.HFLM):
        return False
    from torch.nn import Module

    # Subclasses of the harness's model run other engines too.
    return isinstance(vars(lm).get("_model"), Module) and getattr(lm, "backend", None) == "causal"


def encoded(lm: Any, prompt: str, *, generates: bool = False) -> list[int]:
    """Return the tokens that a rendered prompt really goes in as.

    Args:
        lm: The harness's Hugging Face model.
        prompt: The prompt.
        generates: Whether it is completed, and not its answers scored.
    """
    if generates:
        return lm.tok_batch_encode([prompt])[0][0].tolist()
    return lm.tok_encode(prompt.rstrip(" ") or prompt)


def refuse_wrong_bos(name: str, lm: Any, prompt: str, *, generates: bool) -> None:
    """Refuse a prompt that begins with two beginning-of-text tokens, or lacks one that belongs.

    Args:
        name: The model, for the message.
        lm: The harness's Hugging Face model.
        prompt: One of the run's, rendered.
        generates: Whether it is completed.

    Raises:
        DormantError: It does, and nobody asked for it.
    """
    tokenizer: Any = lm.tokenizer
    bos: int | None = tokenizer.bos_token_id
    if bos is None:
        return
    word = str(tokenizer.bos_token)
    ids = encoded(lm, prompt, generates=generates)
    if _leading(tokenizer, ids, bos) > 1:
        twice = (
            f"the text begins with {word!r} and the tokenizer adds one more: say add_bos_token="
            "False in its model_args, or leave it out of the chat template"
            if prompt.lstrip().startswith(word) and not prompt.lstrip().startswith(word * 2)
            else f"{'the chat template' if prompt.startswith(word) else 'its tokenizer'} "
            "writes it twice: save the tokenizer again with one"
        )
        raise DormantError(f"model {name}: prompts begin with two {word!r}: {twice}")
    asked = getattr(lm, "add_bos_token", None) is not None
    if ids[:1] != [bos] and not asked and wants_bos(tokenizer):
        raise DormantError(
            f"model {name}: prompts begin without {word!r}, and its tokenizer's settings say "
            "add_bos_token: say add_bos_token=True in its model_args, or False if it was trained "
            "without"
        )


def _leading(tokenizer: Any, ids: Sequence[int], bos: int) -> int:
    """Count the beginning-of-text tokens before the first word; blanks may stand between."""
    count = 0
    for token in ids:
        if token == bos:
            count += 1
        elif tokenizer.decode([token]).strip():
            break
    return count


def wants_bos(tokenizer: Any) -> bool:
    """Whether a tokenizer's own settings want a beginning-of-text token before a text.

    Transformers 5 doesn't read what ``tokenizer_config.json`` says of it where the directory has a
    ``tokenizer.json``, whose rules may say otherwise; so the file is read here.
    """
    if getattr(tokenizer, "add_bos_token", False):
        return True
    file = _config_file(str(getattr(tokenizer, "name_or_path", "")))
    return json_file(file).get("add_bos_token") is True


def _config_file(name: str) -> Path | None:
    """Find a tokenizer's settings on this machine."""
    if not name:
        return None
    if (Path(name) / "tokenizer_config.json").is_file():
        return Path(name) / "tokenizer_config.json"
    from huggingface_hub import try_to_load_from_cache

    try:
        cached: object = try_to_load_from_cache(name, "tokenizer_config.json")
    except ValueError:
        return None  # No name of the hub's.
    return Path(cached) if isinstance(cached, str) else None


def differences(base: ModelFacts, tuned: ModelFacts) -> list[str]:
    """Say what differs, a line each, for a reader to know before the verdicts."""
    found: list[str] = []
    if base.vocabulary_hash and tuned.vocabulary_hash:
        sizes = f"{base.vocabulary} and {tuned.vocabulary} words"
        if reads_otherwise(base, tuned):
            found.append(
                f"base and tuned have different vocabularies ({sizes}): log-probabilities are "
                "compared per byte of answer"
            )
        elif base.vocabulary_hash != tuned.vocabulary_hash:
            found.append(f"vocabularies differ ({sizes}), and read this run's prompts alike")
    names = sorted({*base.special_tokens, *tuned.special_tokens} - {*_NO_MATTER})
    _note(
        found,
        "special tokens",
        {name: base.special_tokens.get(name) for name in names},
        {name: tuned.special_tokens.get(name) for name in names},
        known=bool(base.tokenizer and tuned.tokenizer),
    )
    if None not in (base.adds_bos, tuned.adds_bos) and base.adds_bos != tuned.adds_bos:
        whose, other = ("base", "tuned") if base.adds_bos else ("tuned", "base")
        found.append(
            f"prompts of the {whose} model begin with a beginning-of-text token, those of the "
            f"{other} model without"
        )
    if base.tokenizer and tuned.tokenizer and base.chat_template != tuned.chat_template:
        used = "chat" in (base.prompts, tuned.prompts)
        found.append(
            f"chat templates differ ({base.chat_template or 'none'} and "
            f"{tuned.chat_template or 'none'})"
            f"{'' if used else ', which decides nothing here: prompts are raw'}"
        )
    pairs: list[tuple[str, Callable[[ModelFacts], object]]] = [
        ("dtype", lambda facts: facts.dtype),
        ("max_length", lambda facts: facts.max_length),
    ]
    for name, value in pairs:
        one, other = value(base), value(tuned)
        if one is not None and other is not None and one != other:
            found.append(f"{name} differs: base {one}, tuned {other}")
    if base.dtype and tuned.dtype and base.quantisation != tuned.quantisation:
        found.append(
            f"quantisation differs: base {base.quantisation or 'none'}, tuned "
            f"{tuned.quantisation or 'none'}"
        )
    _note(found, "generation configs", base.generation_config, tuned.generation_config)
    return found


def reads_otherwise(base: ModelFacts | None, tuned: ModelFacts | None) -> bool:
    """Whether the two make other tokens of the same texts, as far as both show it."""
    known = [facts.tokenisation for facts in (base, tuned) if facts and facts.tokenisation]
    return len(set(known)) > 1


def _note(
    found: list[str],
    what: str,
    base: Mapping[str, object],
    tuned: Mapping[str, object],
    known: bool = True,
) -> None:
    """Add a line on the entries of two mappings that differ, if there are any."""
    names = [
        name for name in sorted({*base, *tuned}) if known and base.get(name) != tuned.get(name)
    ]
    if names:
        listed = ", ".join(
            f"{name} {_shown(base.get(name))} and {_shown(tuned.get(name))}" for name in names
        )
        found.append(f"{what} differ: {listed}")


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _special(tokenizer: Any) -> dict[str, str]:
    given: Mapping[str, object] = tokenizer.special_tokens_map
    return {
        name: ", ".join(map(str, cast("list[object]", value)))
        if isinstance(value, list)
        else str(value)
        for name, value in given.items()
    }


def quantisation(config: Any) -> str | None:
    """Say how weights are quantised: "bitsandbytes 4-bit", "gptq 4-bit"."""
    given: Any = getattr(config, "quantization_config", None)
    if given is None:
        return None
    said: dict[str, Any] = given if isinstance(given, dict) else given.to_dict()
    bits = 4 if said.get("load_in_4bit") else 8 if said.get("load_in_8bit") else said.get("bits")
    method = str(getattr(said.get("quant_method"), "value", said.get("quant_method", "quantised")))
    if method == "gguf":
        return "of a GGUF file, dequantised"
    return f"{method} {bits}-bit" if bits else method


def _generation(model: Any) -> dict[str, object]:
    config: Any = getattr(model, "generation_config", None)
    if config is None:
        return {}
    said: dict[str, object] = config.to_diff_dict()
    # What isn't JSON is shown by its text.
    return json.loads(
        json.dumps(
            {
                k: v
                for k, v in said.items()
                if k not in _NOT_SETTINGS and v is not None and v is not False
            },
            default=str,
        )
    )


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
