"""Audits while a model is trained: a callback for Transformers' Trainer."""

from __future__ import annotations

import contextlib
import inspect
import logging
import random
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dormant import tasks as known_tasks
from dormant.audit.children import Child
from dormant.audit.many import keep_timeline, not_among
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError, one_line
from dormant.integrations.frozen_base import FrozenBase, tensors_of
from dormant.models.live import LiveModel
from dormant.models.pair import Which
from dormant.names import flat_names
from dormant.results import AuditResults

ITEMS = 40
"""Items an ability, where nothing else is said: enough for a large loss."""

_log = logging.getLogger("dormant")


class AuditCallback(TrainerCallback):
    """Audits the model that is trained, every so many steps, without reloading anything.

    Each audit is a run directory, ``OUT/checkpoint-STEP``, and after training there is a timeline
    in `out`, which ``dormant report`` and ``dm.load_timeline`` read. Accuracies and drops go to the
    Trainer's log as ``audit/ABILITY/base``, ``tuned``, ``drop`` and ``drop_low``, fractions, and so
    to TensorBoard, W&B and whatever else watches it.

    The base of a PEFT model is the same with its adapters switched off; of any other model, the
    same with a copy of its weights that is made when training begins, which takes as much memory
    again; or what `base` gives. It is asked once. Training goes on as it would without: model,
    gradients and all random states are left as they were. An audit that fails is warned of, and
    training goes on. Another training needs another `out`: a step that was audited there with
    other weights is not audited again.

    Example:
        >>> callback = AuditCallback(tasks="icl/copy", every=200, transforms=["french"])
        >>> Trainer(model, callbacks=[callback], ...).train()

    Args:
        tasks: Abilities or groups.
        every: Optimiser steps from one audit to the next.
        out: Where the runs are; default: ``OUTPUT_DIR/audits``.
        base: The base as (model, tokenizer), where it isn't the model as training begins.
        tokenizer: Where the Trainer has none.
        stop: Whether training stops where the lower bound of an ability's drop is above the margin.
        options: What else `dormant.audit` takes by name: ``transforms``, ``n`` (40), ``seed``, …

    Raises:
        DormantError: An option is unknown or not allowed.
    """

    def __init__(
        self,
        tasks: str | Sequence[str],
        every: int,
        *,
        out: str | Path | None = None,
        base: tuple[Any, Any] | None = None,
        tokenizer: Any = None,
        stop: bool = False,
        **options: Any,
    ) -> None:
        if every < 1:
            raise DormantError(f"every={every}: audits are one step apart at least")
        if options.get("evidence", "prompt") != "prompt":
            raise DormantError(
                "evidence above prompting changes the weights, which are being trained: leave it "
                "out here, and audit the saved model with it"
            )
        given: dict[str, Any] = dict(options)
        if not {*AuditSettings.words("n"), "until_decided"} & {*options}:
            given["n"] = ITEMS
        if (transforms := given.pop("transforms", None)) is not None:
            given["transforms"] = _names(transforms)
        self._settings = AuditSettings.of(
            {
                **given,
                "base": "base",
                "tuned": "trained",
                "tasks": _names(tasks),
                "evidence": "prompt",
                # Early on nothing has changed yet.
                "allow_identical": True,
            }
        )
        known_tasks.get(self._settings.tasks)  # What is unknown is said before training begins.
        self._every, self._stop = every, stop
        self._out = None if out is None else Path(out)
        self._given, self._tokenizer = base, tokenizer
        self._base: LiveModel | None = None
        self._known = ""
        self._trainer: Trainer | None = None
        self.audits: dict[int, AuditResults] = {}
        """What was found, by step; of the last training, where there were several."""
        self.stopped: str | None = None
        """Why training was stopped; `None` where it wasn't."""

    def attach(self, trainer: Trainer) -> AuditCallback:
        """Add this to a Trainer that is made already; ``callbacks=[…]`` does the same."""
        trainer.add_callback(self)
        return self

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Refuse what can't be audited rightly, and take the base.

        Raises:
            DormantError: Training is spread over processes, or weights are not whole in this one;
                or there is no tokenizer.
        """
        del control
        self._trainer = _caller(state)
        if args.world_size > 1:
            raise DormantError(
                "AuditCallback works in one process, and training has "
                f"{args.world_size}: audit the checkpoints (dormant audit BASE {args.output_dir})"
            )
        if args.fsdp or args.deepspeed:
            raise DormantError(
                "AuditCallback needs whole weights, and FSDP or DeepSpeed cut them: audit the "
                f"checkpoints (dormant audit BASE {args.output_dir})"
            )
        model = given["model"]
        self._tokenizer = self._tokenizer or given.get("processing_class")
        if self._tokenizer is None:
            raise DormantError("the Trainer has no tokenizer: AuditCallback(…, tokenizer=…)")
        self._out = self._out or Path(str(args.output_dir)) / "audits"
        kept: dict[str, torch.Tensor] = {}
        named = None if self._given is None else LiveModel.of(self._given)
        # The very model that is trained is no base: it will be what it is compared with.
        if named is not None and named.model is not model:
            base = named
        elif hasattr(model, "get_base_model"):
            base = LiveModel.of((model.get_base_model(), self._tokenizer))
        else:
            if state.global_step:
                _log.warning(
                    "training goes on from step %d, and audits compare with the model as it is "
                    "there: AuditCallback(…, base=(model, tokenizer)) names another",
                    state.global_step,
                )
            base = LiveModel.of((model, self._tokenizer))
            kept = {name: tensor.detach().clone() for name, tensor in tensors_of(model)}
        known = base.fingerprint()
        if not state.global_step or known != self._known:
            # What was found of another training, or against another base, is no part of this one.
            self.audits, self.stopped = {}, None
        self._known = known
        self._base = FrozenBase(
            text=base.text, model=base.model, tokenizer=base.tokenizer, known=known, kept=kept
        )

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Audit, where it is time to."""
        del args
        step = state.global_step
        if step % self._every or self._base is None or self._out is None:
            return
        others = [self._out / f"checkpoint-{other}" for other in self.audits]
        try:
            with _random_states_kept():
                results = self._audit(step, given["model"], self._base, self._out, others)
        except Exception as error:
            # Of whatever kind, as where memory runs out: days of training are worth more.
            why = error if isinstance(error, DormantError) else one_line(f"{error!r}")
            _log.warning("no audit at step %d: %s", step, why)
            return
        self.audits[step] = results
        self._tell(results, state, control)
        self._stop_where_lost(results, step, control)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Write the timeline."""
        del args, state, control, given
        if self.audits and self._out is not None and self._base is not None:
            settings = self._settings.model_copy(update={"base": self._base.text})
            found = {f"checkpoint-{step}": results for step, results in self.audits.items()}
            children = [Child(f"checkpoint-{step}", f"step {step}", step) for step in self.audits]
            try:
                keep_timeline(settings, children, found, {}, self._out)
                if others := not_among(self._out, found):
                    _log.warning(
                        "the timeline in %s is of this training alone: %s left out",
                        self._out,
                        ", ".join(others),
                    )
            except DormantError as error:
                # What was trained is not saved yet.
                _log.warning("no timeline: %s", error)
        # As large as the model.
        self._base = self._trainer = None

    def _audit(
        self, step: int, model: Any, base: LiveModel, out: Path, others: Sequence[Path]
    ) -> AuditResults:
        tuned = LiveModel.of((model, self._tokenizer))
        live: dict[Which, LiveModel] = {"base": base, "tuned": tuned}
        settings = self._settings.model_copy(update={"base": base.text, "tuned": f"step {step}"})
        return audit(settings, out / f"checkpoint-{step}", None, live, siblings=others)

    def _tell(self, results: AuditResults, state: TrainerState, control: TrainerControl) -> None:
        figures: dict[str, float] = {}
        for one in results.abilities:
            drop = one.drop
            values = {
                "base": one.accuracy.base_plain,
                "tuned": one.accuracy.tuned_plain,
                "drop": None if drop is None else drop.estimate,
                "drop_low": None if drop is None else drop.low,
            }
            figures |= {
                f"audit/{one.task}/{name}": value
                for name, value in values.items()
                if value is not None
            }
        if self._trainer is None:
            state.log_history.append({**figures, "step": state.global_step})
            return
        # A step's own log comes after this, and telling ours would call it off. Not by the
        # trainer's own method: TRL's adds what it gathered for a step's row, and forgets it.
        wanted = control.should_log
        Trainer.log(self._trainer, figures)
        control.should_log = wanted

    def _stop_where_lost(self, results: AuditResults, step: int, control: TrainerControl) -> None:
        margin = self._settings.margin
        lost = [
            one.task for one in results.abilities if one.drop is not None and one.drop.low > margin
        ]
        if self._stop and lost:
            self.stopped = (
                f"stopped at step {step}: the drop of {', '.join(lost)} has a lower bound above "
                f"{100 * margin:g} points"
            )
            _log.warning(self.stopped)
            control.should_training_stop = True


def _caller(state: TrainerState) -> Trainer | None:
    """Return the Trainer that is telling of an event; the event itself names its state alone."""
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, Trainer) and caller.state is state:
            return caller
        frame = frame.f_back
    return None


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return names: a text is a list as on the command line, an element of a list is one."""
    return flat_names([given]) if isinstance(given, str) else tuple(given)


@contextlib.contextmanager
def _random_states_kept() -> Generator[None]:
    """Leave the random states of Python, NumPy and PyTorch, on all devices, as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[*range(torch.cuda.device_count())]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
