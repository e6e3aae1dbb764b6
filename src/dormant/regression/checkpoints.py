"""Files of weights: checkpoints that resume exactly, and trained weights as safetensors."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dormant.errors import DormantError, one_line
from dormant.files import replacing
from dormant.regression.transformer import Transformer, TransformerSettings

_UNREADABLE = (
    OSError, RuntimeError, LookupError, ValueError, EOFError, AttributeError, TypeError,
    pickle.UnpicklingError,
)  # fmt: skip
"""What reading a torn or foreign file raises, depending on where it is torn."""


def save_checkpoint(
    path: Path,
    model: nn.Module,
    made: Sequence[torch.optim.Optimizer],
    *,
    step: int,
    identity: str,
) -> None:
    """Write everything that training needs to go on; atomically.

    Args:
        path: The file.
        model: The model.
        made: Its optimisers, in order.
        step: Steps done.
        identity: What run this is; a checkpoint of another is not resumed from.
    """
    state = {
        "model": model.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in made],
        "step": step,
        "identity": identity,
    }
    with replacing(path) as part:
        torch.save(state, part)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    made: Sequence[torch.optim.Optimizer],
    identity: str | None,
) -> int:
    """Put a checkpoint's state into a model and its optimisers.

    Args:
        path: The file.
        model: The model.
        made: Its optimisers, in the order in which they were saved.
        identity: What run is going on; none to skip the comparison.

    Returns:
        Steps done.

    Raises:
        DormantError: The file is broken, of another run, or of a model of another shape.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        saved_by, step = state["identity"], int(state["step"])
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DormantError(f"checkpoint {path} can't be read ({reason}): delete it") from None
    if identity is not None and saved_by != identity:
        raise DormantError(
            f"checkpoint {path} belongs to another run ({saved_by}): delete it or choose another "
            "directory"
        )
    _load(path, model, state["model"])
    for optimiser, saved in zip(made, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return step


def save_weights(path: Path, model: Transformer, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a transformer as safetensors, atomically, its settings in the header.

    Args:
        path: The file.
        model: The transformer.
        dtype: Type on disk; bfloat16 halves the file and costs about three digits.
    """
    tensors = {
        name: value.detach().to("cpu", dtype).contiguous()
        for name, value in model.state_dict().items()
    }
    with replacing(path) as part:
        save_file(tensors, part, {"settings": model.settings.model_dump_json()})


def load_weights(path: Path, device: torch.device | str = "cpu") -> Transformer:
    """Read a transformer that `save_weights` wrote; float32, ready to predict.

    Raises:
        DormantError: There is no such file, or it is not a laboratory transformer.
    """
    try:
        with safe_open(path, "pt") as file:
            settings = TransformerSettings.model_validate_json(file.metadata()["settings"])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DormantError(f"weights {path}: there is no such file") from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DormantError(
            f"weights {path} are not a laboratory transformer: {one_line(error)}"
        ) from None
    model = Transformer(settings, torch.Generator())
    _load(path, model, tensors)
    return model.to(device).eval()


def _load(path: Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    own = model.state_dict()
    for name in own.keys() ^ tensors.keys():
        where = "lacks" if name in own else "has an unknown"
        raise DormantError(f"{path} {where} tensor {name!r}: it is of another kind of model")
    for name, value in own.items():
        if tensors[name].shape != value.shape:
            raise DormantError(
                f"{path} is of another shape: {name} is {tuple(tensors[name].shape)} there and "
                f"{tuple(value.shape)} in this model"
            )
    model.load_state_dict(tensors)
