"""The models of a recovery, one in memory at a time: asked, trained, changed.

A candidate is a directory that Dormant loads like any other model: so what is measured is what is
saved, rounding included.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dormant.audit.score import nats_a_character, rendered, score_cases
from dormant.errors import DormantError
from dormant.finetuning.batches import Example
from dormant.finetuning.data import Pair
from dormant.models.comparability import is_local
from dormant.models.generate import generate
from dormant.models.pair import ModelPair
from dormant.models.spec import ModelSpec, parse
from dormant.progress import Progress
from dormant.prompts.case import Case
from dormant.recovery import adapters, shards
from dormant.recovery.arithmetic import Arithmetics
from dormant.recovery.settings import Items, RecoverSettings
from dormant.recovery.store import Store
from dormant.recovery.treatment import Change, Training, UnfitTreatmentError
from dormant.results import ItemOutcome, Which
from dormant.tasks.skill import by_likelihood
from dormant.tasks.task import Task

if TYPE_CHECKING:
    from dormant.finetuning.low_rank import LowRank

_AT_ONCE = 64
"""Prompts between two writes: what a kill may lose."""
TOKENS = 64
"""Tokens of an answer that a treatment asks for, at most."""
STOP = "\n"
"""Where it ends."""


class Bench:
    """What treatments are tried on.

    Args:
        pair: The base, if there is one, and the fine-tuned model.
        settings: The recovery's.
        store: Where outcomes, answers and weights are kept.
        progress: Told what is being done.

    Attributes:
        arithmetics: In which each model is asked.
    """

    def __init__(
        self, pair: ModelPair, settings: RecoverSettings, store: Store, progress: Progress
    ) -> None:
        self.pair = pair
        self._settings = settings
        self._store = store
        self._progress = progress
        self._open: tuple[str, Any] | None = None
        self._stack = contextlib.ExitStack()
        self._changes: dict[str, Change] = {}
        self._fingerprints = [*pair.fingerprints().values()]
        self.arithmetics = Arithmetics(settings.prompts)
        self._base, tuned = _spec(pair.base), _spec(pair.tuned)
        assert tuned is not None  # a recovery is of one
        self._tuned = tuned

    def close(self) -> None:
        """Free what is in memory."""
        self._stack.close()
        self._stack = contextlib.ExitStack()
        self._open = None
        self.pair.close()

    def key(self, change: Change) -> str:
        """Return a candidate's key, by which it can be measured: it is made where it must be."""
        key = change.key(self._fingerprints)
        self._changes[key] = change
        return key

    def scales(self) -> str | None:
        """Say why the update of fine-tuning can't be scaled; `None` where it can."""
        if self._tuned.kind == "adapter":
            if self._base is not None and self._base.kind == "adapter":
                return "base and fine-tuned model are two adapters: what lies between is neither's"
            return adapters.unfit(self._tuned, self.pair.tuned_options)
        if self._base is not None and self._base.kind == "adapter":
            return f"the base {self._base.text} is an adapter: merge it to scale what lies between"
        if self._base is None:
            return "without the base there is no update to scale: name it"
        return shards.unfit(self._base, self._tuned, self.pair.options, self.pair.tuned_options)

    def measure(self, model: str, items: Items, task: Task, cases: Sequence[Case]) -> list[float]:
        """Put cases to a model: the base, the fine-tuned one, or a candidate by its key.

        Args:
            model: "base", "tuned" or a key.
            items: The set that the cases are of.
            task: What they are of.
            cases: N cases.

        Returns:
            N successes, 0 or 1; nats a character of the right answer where the task is a skill
            that is measured by likelihood.

        Raises:
            DormantError: The model can't be loaded or fails, or the disk is full.
        """
        known = self._store.outcomes(model, items, task.name)
        waiting = [case for case in cases if case.item not in known]
        for start in range(0, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            lm = self.lm(model)
            self._progress.stage(f"{model} · {task.name} · {items}")
            outcomes = score_cases(lm, task, some, self._settings.prompts)
            values = {one.item: _value(task, one) for one in outcomes}
            self._store.keep_outcomes(model, items, task.name, values)
            self._progress.advance(len(some))
        known = self._store.outcomes(model, items, task.name)
        return [known[case.item] for case in cases]

    def complete(self, cases: Sequence[Case], model: Which = "tuned") -> list[str | None]:
        """Answer cases by the fine-tuned model, or the base; see `Given.complete`."""
        prompts = [self._prompt(case) for case in cases]
        known = self._store
        new = [p for p in dict.fromkeys(prompts) if known.answer(model, p) is None]
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            lm = self.lm(model)
            self._progress.stage(f"{model} · {len(some)} answers")
            texts = generate(lm, some, max_new_tokens=TOKENS, until=[STOP])
            known.keep_answers(model, dict(zip(some, texts, strict=True)))
        return [
            case.undone(known.answer(model, prompt) or "")
            for case, prompt in zip(cases, prompts, strict=True)
        ]

    def example(self, case: Case, answer: str) -> Pair:
        """Return a case with an answer as a training example, as the model reads them."""
        return Pair(self._prompt(case), f"{case.lead(self._settings.prompts)}{answer}")

    def build(self, change: Change) -> Path:
        """Make a candidate's weights, unless they are there; return their directory.

        Raises:
            UnfitTreatmentError: They can't be made of these models.
            DormantError: Training fails, or the disk is full.
        """
        out = self.folder(self.key(change))
        done = out / "done"
        if done.exists():
            return out
        shutil.rmtree(out, ignore_errors=True)
        try:
            if change.training is None:
                self._scale(change, out)
            else:
                self._train(change, change.training, out)
        except MemoryError as error:
            raise UnfitTreatmentError(f"out of memory: {error}") from error
        done.write_text("", encoding="utf-8")
        return out

    def folder(self, key: str) -> Path:
        """Return where a candidate's weights are."""
        return self._store.path / "candidates" / key

    def let_go(self, key: str) -> None:
        """Delete a candidate's weights where they are a whole checkpoint: it can be made anew."""
        if (self.folder(key) / "config.json").is_file():
            self.close()
            shutil.rmtree(self.folder(key))

    def lm(self, model: str) -> Any:
        """Return a model that stays open until another is asked for."""
        if self._open is not None and self._open[0] == model:
            return self._open[1]
        # Base and adapter may be one copy, which the pair keeps.
        own = model in ("base", "tuned")
        # Making a candidate may take the fine-tuned model.
        pair = self.pair if own else self.candidate(self.build(self._changes[model]))
        before = self._open
        self._stack.close()
        self._stack = contextlib.ExitStack()
        self._open = None
        if not own or (before is not None and before[0] not in ("base", "tuned")):
            self.pair.close()
        self._progress.stage(f"loading {model}")
        lm = self._stack.enter_context(pair.open("base" if model == "base" else "tuned"))
        if not own:
            self._stack.callback(pair.close)
        self._open = (model, lm)
        self._progress.stage(f"checking precision of {model}")
        self.arithmetics.choose(model, lm)
        return lm

    def candidate(self, folder: Path) -> ModelPair:
        """Return a candidate as the fine-tuned model of a pair."""
        spec = parse(str(folder))
        base = self._base if self._base is not None and spec.base == self._base.text else None
        return ModelPair(base, spec, self.pair.options, self.pair.tuned_options)

    def _prompt(self, case: Case) -> str:
        raw = (case.style or self._settings.prompts) == "raw"
        return case.prompt if raw else rendered(self.lm("tuned"), case, case.prompt, "chat")

    def _put_on(self, origin: Which) -> str:
        """Return what an adapter is put on that begins at a model.

        Raises:
            UnfitTreatmentError: It begins at the base, and there is none.
        """
        spec = self._model(origin)
        if spec.kind != "adapter":
            return spec.text
        base = self._base
        # As a pair puts it: on the base that was named, unless that is an adapter itself.
        if origin == "tuned" and base is not None and base.kind != "adapter":
            return base.text
        return spec.base or ""

    def _model(self, origin: Which) -> ModelSpec:
        model = self._tuned if origin == "tuned" else self._base
        if model is None:
            raise UnfitTreatmentError("there is no base to begin at: name it")
        return model

    def _scale(self, change: Change, out: Path) -> None:
        options = self.pair.options, self.pair.tuned_options
        if self._tuned.kind == "adapter":
            put_on = self._put_on("tuned")
            adapters.write_scaled(self._tuned, options[1], change.factors, out, put_on)
            return
        assert self._base is not None  # `scales` said so
        self.close()
        shards.write_interpolated(self._base, self._tuned, *options, change.factors, out)

    def _train(self, change: Change, training: Training, out: Path) -> None:
        if change.factors not in ((0.0,), (1.0,)):
            raise UnfitTreatmentError("training begins at the fine-tuned model or at the base")
        origin: Which = "base" if change.factors == (0.0,) else "tuned"
        options = self.pair.options_of(origin)
        model = self._model(origin)
        under = model if model.kind == "adapter" else None
        if under is not None and (why := adapters.unfit(under, options)):
            raise UnfitTreatmentError(f"{why}: merge it, and recover the merged model")
        name = self._put_on(origin)
        with self.learnt(training, origin) as updates:
            scales = {} if under is None else _scales(self.lm(origin).model)
            adapters.write_added(under, options, scales, updates, out, name)

    @contextlib.contextmanager
    def learnt(self, training: Training, origin: Which = "tuned") -> Generator[dict[str, LowRank]]:
        """Train the fine-tuned model or the base, whose weights stay as they are.

        Yields:
            The updates, by their modules' names.

        Raises:
            UnfitTreatmentError: It can't be trained.
            DormantError: The loss is not a number, or memory doesn't suffice.
        """
        from dormant.finetuning.harness import arithmetic
        from dormant.finetuning.relearning import updates_learnt
        from dormant.models.effective import NotEditableError, layers_name

        examples = self._examples(training)
        lm = self.lm(origin)
        if not is_local(lm) or lm.backend != "causal":
            raise UnfitTreatmentError("the model shows no weights, or is no decoder")
        steps = training.settings.steps
        try:
            learning = updates_learnt(
                lm.model,
                examples,
                replace(training.settings, compute=arithmetic(lm, self._settings.dtype)),
                replay=self._encoded(lm, training.replay),
                on_step=lambda log: self._progress.stage(
                    f"training, step {log.step} of {steps}, loss {log.loss:.3f}"
                ),
            )
            prefix = layers_name(lm.model)
            with learning as learnt:
                yield {f"{prefix}.{one.name.removesuffix('.weight')}": one for one in learnt}
        except NotEditableError as error:
            raise UnfitTreatmentError(str(error)) from error

    def _examples(self, training: Training) -> Sequence[Example]:
        """Encode what is learnt, with what the teacher says of it, where there is one."""
        from dormant.finetuning.loss import taught

        if training.teacher is None:
            return self._encoded(self.lm("tuned"), training.examples)
        lm = self.lm(training.teacher)
        if not is_local(lm):
            raise UnfitTreatmentError(f"the {training.teacher} model shows no logits")
        return taught(lm.model, self._encoded(lm, training.examples), lm.device)

    @staticmethod
    def _encoded(lm: Any, pairs: Sequence[Pair]) -> list[Example]:
        from dormant.finetuning.harness import examples_for

        return examples_for(
            lm, [pair.prompt for pair in pairs], [[pair.completion] for pair in pairs]
        )


def _spec(model: Any) -> ModelSpec | None:
    if model is not None and not isinstance(model, ModelSpec):
        raise DormantError("a recovery reads models' files: give them by name")
    return model


def _value(task: Task, outcome: ItemOutcome) -> float:
    return nats_a_character(outcome) if by_likelihood(task) else float(outcome.correct)


def _scales(model: Any) -> dict[str, float]:
    """Return by what each module's LoRA product is multiplied, by the module's name."""
    from dormant.scoring.wrappers import unwrapped

    return {
        name: float(next(iter(part.scaling.values())))
        for name, part in unwrapped(model).named_modules()
        if getattr(part, "scaling", None) and hasattr(part, "base_layer")
    }
