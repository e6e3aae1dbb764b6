"""Models that a program holds already: a (model, tokenizer) pair, or an `LM` of the harness.

They stay their owner's: nothing is loaded, moved, cast or released, and what asking them needs
(evaluation mode) is undone afterwards.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from dormant.errors import DormantError
from dormant.models.arguments import LoadOptions
from dormant.models.load import wrap
from dormant.models.proof import bytes_of, takes_base_over
from dormant.models.spec import require_libraries

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_ADAPTER_STATE = ("scaling", "active_adapters", "disable_adapters", "merged_adapters")
"""What decides how PEFT's layers compute, beside their weights."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LiveModel:
    """A model in memory, beside `ModelSpec` for those that are loaded by name.

    Attributes:
        text: Its name in records: where it was loaded from, or its class.
        model: The PyTorch model; `None` for an `LM` that has none to show.
        tokenizer: The tokenizer of a pair.
        lm: The `LM` that was given; `None` for a pair.
    """

    text: str
    model: Any
    tokenizer: Any = None
    lm: Any = None
    kind: Literal["live"] = "live"

    @classmethod
    def of(cls, given: object, also: str = "") -> LiveModel:
        """Take a (model, tokenizer) pair or an `LM`.

        Args:
            given: What a user gave for a model.
            also: What else may be given, for the message.

        Raises:
            DormantError: It is neither.
        """
        require_libraries()
        from lm_eval.api.model import LM
        from lm_eval.models.huggingface import HFLM
        from torch.nn import Module
        from transformers import PreTrainedTokenizerBase

        if isinstance(given, LM):
            # Other models may have an attribute of that name too, of whatever kind.
            model: Any = cast("Any", given).model if isinstance(given, HFLM) else None
            # Subclasses of the harness's run other engines than PyTorch.
            model = model if isinstance(model, Module) else None
            name = type(given).__name__
            return cls(text=f"{name} of {_name(model)}" if model else name, model=model, lm=given)
        if is_model(given):
            raise DormantError(
                f"a {type(given).__name__} alone is no model to ask: give it with its tokenizer, "
                "as a pair (model, tokenizer)"
            )
        parts = cast("tuple[object, ...]", given if isinstance(given, tuple | list) else ())
        if len(parts) == 2 and is_model(parts[0]) and isinstance(parts[1], PreTrainedTokenizerBase):
            return cls(text=_name(parts[0]), model=parts[0], tokenizer=parts[1])
        shown = f" of ({', '.join(type(part).__name__ for part in parts)})" if parts else ""
        raise DormantError(
            "a model is given by name, as a pair (model, tokenizer) of Transformers, or as an LM "
            f"of lm-evaluation-harness{also}, and this is a {type(given).__name__}{shown}"
        )

    @property
    def comparable(self) -> bool:
        """Whether its weights can be seen, so that a run's resumption knows them again."""
        return self.model is not None

    def refuse(self, options: LoadOptions) -> None:
        """Refuse options that say how to load what is loaded already.

        Raises:
            DormantError: The arguments of a model, another dtype or another device are asked for.
        """
        if options.model_args:
            raise DormantError(
                f"model {self.text} is loaded already: model_args "
                f"({', '.join(options.model_args)}) are for models given by name; say "
                "base_model_args or tuned_model_args for the other one"
            )
        if self.model is None:
            return
        dtype = str(self.model.dtype).removeprefix("torch.")
        if options.dtype not in ("auto", dtype):
            raise DormantError(
                f"model {self.text} is in {dtype} and dtype says {options.dtype}: convert it "
                "yourself, or leave dtype out"
            )
        here = self.model.device
        if options.device not in ("auto", here.type, str(here)):
            raise DormantError(
                f"model {self.text} is on {here} and device says {options.device}: move it "
                "yourself, or leave device out"
            )

    def as_lm(self, options: LoadOptions) -> LM:
        """Return what can be asked: the `LM` itself, or the pair with the harness's interface."""
        if self.lm is not None:
            return self.lm
        # The harness would pick a padding token.
        return wrap(self.model, copy.deepcopy(self.tokenizer), options)

    @contextlib.contextmanager
    def unchanged(self) -> Generator[None]:
        """Put the model into evaluation mode, and leave it as it was when the block ends."""
        # By class: an `LM` that wraps another one passes on its attributes.
        known = () if self.lm is None else {*vars(self.lm), *dir(type(self.lm))}
        kept = {name: getattr(self.lm, name) for name in _CHOSEN if name in known}
        model = self.model
        modes = [(part, part.training) for part in model.modules()] if model is not None else []
        trained = [(p, p.requires_grad) for p in model.parameters()] if model is not None else []
        try:
            if model is not None:
                model.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training
            for parameter, wanted in trained:
                parameter.requires_grad_(wanted)
            for name, chosen in kept.items():
                setattr(self.lm, name, chosen)

    @contextlib.contextmanager
    def open(self, options: LoadOptions) -> Generator[LM]:
        """Hand the model out, and leave it as it was."""
        with self.unchanged(), self._generating(options):
            yield self.as_lm(options)

    @contextlib.contextmanager
    def _generating(self, options: LoadOptions) -> Generator[None]:
        """Tell an `LM` whose settings it generates by."""
        if self.lm is None:
            yield
            return
        before = getattr(self.lm, "generation", None)
        self.lm.generation = options.generation_config
        try:
            yield
        finally:
            if before is None:
                del self.lm.generation
            else:
                self.lm.generation = before

    def fingerprint(self) -> str:
        """Return a short hash of every byte that decides what the model says.

        Parameters and buffers, configuration, the state of adapters, vocabulary and chat template.

        Raises:
            DormantError: Nothing can be seen of an `LM`, or weights are not in memory.
        """
        assert self.comparable
        digest = hashlib.sha256(type(self.model).__name__.encode())
        tokenizer = self.tokenizer if self.lm is None else self.lm.tokenizer
        for settings in (self.model.config, getattr(self.model, "generation_config", None)):
            digest.update(_text(None if settings is None else _settled(settings.to_dict())))
        digest.update(_text([tokenizer.get_vocab(), tokenizer.special_tokens_map]))
        digest.update(_text(tokenizer.chat_template))
        for name, part in self.model.named_modules():
            state = {key: getattr(part, key, None) for key in _ADAPTER_STATE}
            # Transformers' own models have methods of these names.
            state = {key: value for key, value in state.items() if not callable(value)}
            digest.update(_text([name, state]))
        for name, weights in self.model.state_dict().items():
            if not hasattr(weights, "detach"):
                digest.update(_text([name, weights]))
                continue
            if weights.is_meta:
                raise DormantError(
                    f"model {self.text} has weights that are not in memory ({name}): give it by "
                    "name"
                )
            digest.update(_text([name, str(weights.dtype), list(weights.shape)]))
            digest.update(bytes_of(weights))
        return digest.hexdigest()[:16]

    def contains(self, other: object) -> bool:
        """Whether this is a PEFT model whose adapter was put into another live model."""
        inner = getattr(self.model, "get_base_model", None)
        return isinstance(other, LiveModel) and inner is not None and inner() is other.model

    def hides_adapter(self) -> bool:
        """Whether it has layers of PEFT's in it, switched on, and isn't a PEFT model itself."""
        if self.model is None or hasattr(self.model, "get_base_model"):
            return False
        # Transformers' own models have a method of that name.
        return any(
            getattr(part, "disable_adapters", None) is False for part in self.model.modules()
        )

    @contextlib.contextmanager
    def without_adapter(self) -> Generator[None]:
        """Switch the adapter of a PEFT model off, and on again when the block ends.

        Raises:
            DormantError: The adapter is merged into the weights, or has changed them.
        """
        if (change := takes_base_over(self.model)) is not None:
            raise DormantError(
                f"the adapter of {self.text} changes the base under it ({change}), which switching "
                "it off doesn't undo: give the base by name"
            )
        if any(getattr(part, "merged", False) for part in self.model.modules()):
            raise DormantError(
                f"the adapter of {self.text} is merged into the base model: call "
                "unmerge_adapter() first, or give the base by name"
            )
        with self.unchanged(), self.model.disable_adapter():
            yield


_CHOSEN = ("precision", "token_budget", "batch_size_per_gpu")
"""What our scorer and the harness's model choose anew in every run."""


def is_model(given: object) -> bool:
    """Whether something is a model of Transformers or PEFT; imports neither."""
    transformers, peft = sys.modules.get("transformers"), sys.modules.get("peft")
    return (transformers is not None and isinstance(given, transformers.PreTrainedModel)) or (
        peft is not None and isinstance(given, peft.PeftModel)
    )


def _name(model: Any) -> str:
    """Name a model by where it came from, and mark that it isn't what is kept there."""
    kind = "live, with adapter" if hasattr(model, "get_base_model") else "live"
    return f"{getattr(model.config, '_name_or_path', '') or type(model).__name__} ({kind})"


def _settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a configuration what doesn't decide a number."""
    without = ("_name_or_path", "transformers_version", "use_cache")
    return {key: value for key, value in config.items() if key not in without}


def _text(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
