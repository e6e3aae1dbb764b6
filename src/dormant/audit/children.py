"""Which fine-tuned models of one base are meant, in which order, and what each run is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dormant.audit.settings import AuditSettings, default_directory
from dormant.errors import DormantError
from dormant.models.live import LiveModel
from dormant.names import in_file_names

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
"""How Transformers' Trainer calls the directories that it saves to, by optimiser steps."""
_MODEL_FILES = ("config.json", "adapter_config.json")


@dataclass(frozen=True)
class Child:
    """One fine-tuned model of several.

    Attributes:
        name: What its run's directory is called. It depends on the model alone, not on what other
            children there are: a run is found again when one is added.
        model: The model, by name or in memory.
        step: Of training, where its directory's name says so.
    """

    name: str
    model: str | LiveModel
    step: int | None = None

    @classmethod
    def of(cls, model: str | LiveModel) -> Child:
        """Name a child after the model."""
        if isinstance(model, LiveModel):
            return cls(_slug(model.text), model)
        path = Path(model).expanduser()
        if not path.exists():
            return cls(_slug(model), model)
        name = path.resolve().name
        step = _CHECKPOINT.fullmatch(name)
        if step is None:
            return cls(_slug(name), model)
        # One way to write it: the same run, whoever lists the directory, a shell or this program.
        return cls(_slug(name), str(Path(model)), int(step[1]))

    @property
    def text(self) -> str:
        """The model's name in records."""
        return self.model.text if isinstance(self.model, LiveModel) else self.model


def checkpoints_in(model: str) -> list[Path]:
    """Return the ``checkpoint-STEP`` directories of a directory, by step.

    There are none in a directory that is a checkpoint itself: it is that one, whatever it holds.

    Args:
        model: What a user gave for a model, a directory or not.
    """
    path = Path(model).expanduser()
    if not path.is_dir() or is_model(model):
        return []
    steps = {
        int(match[1]): entry
        for entry in path.iterdir()
        if (match := _CHECKPOINT.fullmatch(entry.name)) and entry.is_dir()
    }
    return [steps[step] for step in sorted(steps)]


def is_model(directory: str) -> bool:
    """Whether a directory is a checkpoint itself: a Trainer's is, once its last model is saved."""
    path = Path(directory).expanduser()
    return any((path / name).is_file() for name in _MODEL_FILES) or any(path.glob("*.gguf"))


def many(models: Sequence[str]) -> bool:
    """Whether a user means several children: more than one, or a directory of checkpoints."""
    return len(models) > 1 or any(map(checkpoints_in, models))


def children_of(models: Sequence[str | LiveModel]) -> list[Child]:
    """Return the children that a user means.

    Where all are called ``checkpoint-STEP``, by step, whatever order a shell gave them; else as
    given.

    Args:
        models: Models, and directories of checkpoints.

    Raises:
        DormantError: Two would have one run directory, or a directory holds neither a model nor
            checkpoints.
    """
    children: list[Child] = []
    for model in models:
        if isinstance(model, LiveModel) or is_model(model):
            children.append(Child.of(model))
            continue
        checkpoints = checkpoints_in(model)
        if not checkpoints and Path(model).expanduser().is_dir():
            raise DormantError(
                f"{model!r} holds no model and no checkpoint-STEP directories: name a checkpoint, "
                "or the output directory of a Trainer"
            )
        if checkpoints:
            children += [Child.of(str(one)) for one in checkpoints]
        else:
            children.append(Child.of(model))
    seen: dict[str, Child] = {}
    for child in children:
        if (other := seen.setdefault(child.name, child)) is not child:
            raise DormantError(
                f"{other.text!r} and {child.text!r} would share the run directory {child.name}: "
                "audit them in two runs (--out), or name one of them otherwise"
            )
    if all(child.step is not None for child in children):
        children.sort(key=lambda child: child.step or 0)
    return children


def default_parent(settings: AuditSettings, models: Sequence[str]) -> Path:
    """Return ``runs/BASE--PARENT-timeline``, PARENT being the directory that holds all children.

    It doesn't depend on how many there are, so that one more is found beside the others.
    """
    folders = {
        path.resolve() if checkpoints_in(model) else path.parent.resolve()
        for model in models
        if (path := Path(model).expanduser()).exists()
    }
    local = all(Path(model).expanduser().exists() for model in models)
    parent = next(iter(folders)).name if local and len(folders) == 1 else "children"
    return default_directory(settings.model_copy(update={"tuned": f"{parent}-timeline"}))


def _slug(name: str) -> str:
    return in_file_names(name) or "model"
