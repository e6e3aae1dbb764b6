"""Which commit a model on the Hugging Face hub stands for."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dormant.errors import DormantError
from dormant.models.spec import ModelSpec

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SECONDS_TO_WAIT = 10.0


def is_hub_id(spec: ModelSpec) -> bool:
    """Whether a model is fetched from the hub, or from its cache, by name."""
    return spec.kind in ("hf", "adapter") and not Path(spec.location).is_dir()


def commit(name: str, model_args: Mapping[str, Any]) -> str | None:
    """Return the commit that a name and a revision stand for now.

    The hub is asked; where it can't be reached, its cache on this machine says what was fetched
    last.

    Args:
        name: A hub id.
        model_args: See `LoadOptions`: revision, cache_dir, token and local_files_only count.

    Returns:
        The commit's hash, or `None` where neither knows the name.
    """
    revision = _revision(model_args)
    if _COMMIT.fullmatch(revision):
        return revision
    now = _asked(name, revision, model_args) or _fetched(name, revision, model_args)
    if now is not None:
        _recorded[name, revision] = now
    return recorded(name, model_args)


def recorded(name: str, model_args: Mapping[str, Any]) -> str | None:
    """Return what `commit` last found, so that what was recorded is what is loaded."""
    revision = _revision(model_args)
    return revision if _COMMIT.fullmatch(revision) else _recorded.get((name, revision))


def require(name: str, model_args: Mapping[str, Any]) -> None:
    """Refuse a hub id that `commit` found nothing for, before anything is begun with it.

    Raises:
        DormantError: Neither the hub nor its cache knew it.
    """
    if recorded(name, model_args) is None:
        revision = model_args.get("revision")
        raise DormantError(
            f"model {name!r}{f' at revision {revision!r}' if revision else ''} is not in the hub's "
            "cache, and the hub does not give it: check the name, the network (HF_HUB_OFFLINE) "
            "and your right to read it (hf auth login), or name a directory"
        )


def adapter_base(name: str, commit: str, model_args: Mapping[str, Any]) -> str | None:
    """Return the base that an adapter on the hub names; `None` if it is no adapter."""
    from huggingface_hub import hf_hub_download

    options: dict[str, Any] = {
        key: model_args[key]
        for key in ("cache_dir", "token", "local_files_only")
        if model_args.get(key)
    }
    try:
        file = hf_hub_download(name, "adapter_config.json", revision=commit, **options)
        base = json.loads(Path(file).read_bytes()).get("base_model_name_or_path")
    except Exception:  # no such file, no network, a damaged file: loading says which
        return None
    return str(base) if base else None


_recorded: dict[tuple[str, str], str] = {}


def _revision(model_args: Mapping[str, Any]) -> str:
    return str(model_args.get("revision") or "main")


def _asked(name: str, revision: str, model_args: Mapping[str, Any]) -> str | None:
    from huggingface_hub import HfApi, constants

    if model_args.get("local_files_only") or constants.HF_HUB_OFFLINE:
        return None
    api = HfApi(token=model_args.get("token"))
    # No network, no such model, no right to read it: then the cache may know.
    with contextlib.suppress(Exception):
        return api.model_info(name, revision=revision, timeout=_SECONDS_TO_WAIT).sha
    return None


def _fetched(name: str, revision: str, model_args: Mapping[str, Any]) -> str | None:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(model_args.get("cache_dir") or constants.HF_HUB_CACHE)
    refs = cache / repo_folder_name(repo_id=name, repo_type="model") / "refs"
    try:
        return (refs / revision).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeError):
        return None
