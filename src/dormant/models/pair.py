"""A base model and its fine-tuned one, of which one copy is in memory at a time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from dormant.errors import DormantError
from dormant.models import hub
from dormant.models.checkpoint import LoadLog
from dormant.models.fingerprint import fingerprint
from dormant.models.live import LiveModel
from dormant.models.load import LoadOptions, load, load_adapter
from dormant.models.sharing import SHARED, SharedCopy
from dormant.models.spec import ModelSpec, require_libraries, same_model
from dormant.models.stored import resolve
from dormant.models.tokenizers import is_borrowed
from dormant.results import Which as Which

if TYPE_CHECKING:
    from lm_eval.api.model import LM

Model: TypeAlias = ModelSpec | LiveModel


class ModelPair:
    """A base model and the model fine-tuned from it, of which one is in memory at a time.

    An adapter is the exception that costs nothing: it is switched on and off over one copy of
    the base's weights, if the base is proved to be itself with the adapter switched off. If not,
    the two are loaded one after the other, as two checkpoints are, and `warnings` says so.

    The pair owns what it hands out: when `open` ends, the model's weights are freed, whoever still
    holds the `LM`, which can't be asked any more. Live models are not its own: it leaves them as
    they were. Where the base is the very model that a live PEFT model's adapter was put into, the
    adapter is switched off for it.

    Args:
        base: The base model, or `None` to audit the tuned one alone.
        tuned: The fine-tuned model.
        options: How to load them.
        tuned_options: How to load the fine-tuned one, where that differs.

    Raises:
        DormantError: A live model can't be had as the options say.
    """

    def __init__(
        self,
        base: Model | None,
        tuned: Model,
        options: LoadOptions | None = None,
        tuned_options: LoadOptions | None = None,
    ) -> None:
        self.options = options or LoadOptions()
        self.tuned_options = tuned_options or self.options
        if isinstance(base, ModelSpec) or isinstance(tuned, ModelSpec):
            require_libraries()  # before the hub is asked for a name
        if isinstance(base, ModelSpec):
            base = resolve(base, self.options)
        if isinstance(tuned, ModelSpec):
            tuned = resolve(tuned, self.tuned_options)
        self.base, self.tuned = base, tuned
        self.shares_weights = (
            tuned.kind == "adapter"
            and self._under_adapter() is not None
            and self.tuned_options == self.options
        )
        self._shared: SharedCopy | None = None
        self._logs: dict[Which, LoadLog] = {"base": LoadLog(), "tuned": LoadLog()}
        for which, model in self.models().items():
            if isinstance(model, LiveModel):
                model.refuse(self.options_of(which))

    def fingerprint(self, which: Which) -> str | None:
        """Return what tells a model from another of its name; `None` where there is none.

        Raises:
            DormantError: The weights of a live model are not in memory, or a hub id stands for
                nothing.
        """
        model = self.model(which)
        if isinstance(model, ModelSpec):
            arguments = self.options_of(which).model_args
            known = fingerprint(model, arguments)
            if hub.is_hub_id(model):
                hub.require(model.location, arguments)
            return known
        return model.fingerprint() if model is not None and model.comparable else None

    def fingerprints(self) -> dict[str, str | None]:
        """Return those of both, `None` for a base that isn't there; see `fingerprint`."""
        return {"base": self.fingerprint("base"), "tuned": self.fingerprint("tuned")}

    def base_stands_alone(self) -> bool:
        """Whether the base is asked the same, whichever model is fine-tuned from it."""
        base = self.base
        return not isinstance(base, ModelSpec) or not is_borrowed(base, self.options)

    def refuse_to_resume(self, run: Path) -> None:
        """Refuse to go on with a run whose model can't be known again.

        Args:
            run: The run directory.

        Raises:
            DormantError: One of the two shows no weights.
        """
        for model in self.models().values():
            if isinstance(model, LiveModel) and not model.comparable:
                raise DormantError(
                    f"{run} holds a run, and model {model.text} shows no weights by which to tell "
                    "that it is the same: choose another out; a finished run is read by "
                    "load_results"
                )

    def warnings(self) -> list[str]:
        """Return what a reader of the results should know about the pair, as far as loaded."""
        loaded = [line for log in self._logs.values() for line in log.warnings]
        return list(dict.fromkeys([*self._about_base(), *loaded]))

    def facts(self, which: Which) -> Mapping[str, str]:
        """Return what was decided when one of the two was loaded, by subject.

        Of models that are loaded here: "weights" (whose copy, and why), "tokenizer" and "chat
        template" (whose), "adapter" (its kind). Empty before `open`, and of models in memory.
        """
        return dict(self._logs[which].facts)

    def _about_base(self) -> list[str]:
        base, tuned = self.base, self.tuned
        if isinstance(base, LiveModel) and base.hides_adapter() and not self._over_base():
            return [
                f"the base model {base.text!r} has an adapter in it, which was on: PEFT puts one "
                "into the model itself; give the base by name, or the PEFT model as tuned"
            ]
        if not isinstance(tuned, ModelSpec) or base is None or tuned.kind != "adapter":
            return []
        if isinstance(base, LiveModel):
            return [
                f"the adapter was put on {tuned.base!r}, the base that it names, not on the live "
                f"model {base.text!r}: check that they are the same weights"
            ]
        if tuned.base is not None and not same_model(tuned.base, base):
            on = base.text if self._under_adapter() else tuned.base
            return [
                f"the adapter names {tuned.base!r} as its base, and was put on {on!r}: "
                "check that they are the same weights"
            ]
        return []

    def settle(self) -> None:
        """Decide whether base and tuned are one copy, before anybody counts on it.

        The copy is kept for `open` where they are; else it is freed.

        Raises:
            DormantError: One of them can't be loaded.
        """
        if self.shares_weights and (shared := self._share()) and shared.difference is not None:
            self.close()

    @contextlib.contextmanager
    def open(self, which: Which) -> Generator[LM]:
        """Load one of the two, hand it out, and let go of its memory.

        Raises:
            DormantError: It can't be loaded.
        """
        model = self.model(which)
        if model is None:
            raise DormantError("this audit has no base model")
        if isinstance(model, LiveModel):
            with (
                cast("LiveModel", self.tuned).without_adapter()
                if which == "base" and self._over_base()
                else contextlib.nullcontext(),
                model.open(self.options_of(which)) as lm,
            ):
                yield lm
            return
        shared = self._share()
        if shared is not None and shared.difference is None:
            with (
                shared.base_alone()
                if which == "base"
                else contextlib.nullcontext(shared.tuned) as lm
            ):
                yield lm
            return
        if shared is not None and which == "tuned":
            # It is loaded already, and right; only the base isn't what it was.
            lm, self._shared = shared.tuned, None
        else:
            self.close()
            lm = self._load(which, model)
        try:
            yield lm
        finally:
            free(lm)

    def _share(self) -> SharedCopy | None:
        """Load the one copy for both where one may do, and see whether it does."""
        if self._shared is not None or not self.shares_weights:
            return self._shared
        base, tuned = cast("tuple[ModelSpec, ModelSpec]", (self._under_adapter(), self.tuned))
        logs = self._logs["base"], self._logs["tuned"]
        self._shared = SharedCopy.load(base, tuned, self.options, logs)
        difference = self._shared.difference
        self.shares_weights = difference is None
        for log in logs:
            log.facts["weights"] = SHARED if difference is None else f"two copies: {difference}"
        if difference is not None:
            logs[1].warn(
                f"the adapter {tuned.text!r} changes the base under it ({difference} with the "
                "adapter switched off): base and fine-tuned model were loaded one after the other"
            )
        return self._shared

    def _load(self, which: Which, model: ModelSpec) -> LM:
        log, options = self._logs[which], self.options_of(which)
        log.facts.setdefault("weights", "a copy of its own")
        under = self._under_adapter() if which == "tuned" else None
        if under is not None:
            return load_adapter(under, model, options, log=log)
        other = self.model("tuned" if which == "base" else "base")
        return load(model, options, other=other if isinstance(other, ModelSpec) else None, log=log)

    def _under_adapter(self) -> ModelSpec | None:
        """Return the base on which the tuned model is put, where it is an adapter by name."""
        base = self.base
        if self.tuned.kind != "adapter" or not isinstance(base, ModelSpec):
            return None
        return base if base.kind in ("hf", "gguf") else None

    def _over_base(self) -> bool:
        """Whether the tuned model is live, and its adapter was put into this very base."""
        return isinstance(self.tuned, LiveModel) and self.tuned.contains(self.base)

    def model(self, which: Which) -> Model | None:
        """Return one of the two; `None` for the base where there is none."""
        return self.base if which == "base" else self.tuned

    def models(self) -> dict[Which, Model]:
        """Return those that are there, the base first."""
        sides: tuple[Which, ...] = ("base", "tuned")
        return {which: model for which in sides if (model := self.model(which)) is not None}

    def options_of(self, which: Which) -> LoadOptions:
        """Return how one of the two is loaded."""
        return self.options if which == "base" else self.tuned_options

    def close(self) -> None:
        """Free what is kept for both."""
        if self._shared is not None:
            for lm in (self._shared.base, self._shared.tuned):
                free(lm)
            self._shared = None


def free(lm: Any) -> None:
    """Free a model's weights even where somebody still holds the `LM`."""
    release = getattr(type(lm), "release", None)
    if release is not None:
        release(lm)
    elif "_model" in vars(lm):
        lm._model = None
    gc.collect()
