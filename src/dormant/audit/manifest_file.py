"""``run.json``: the settings and versions that a run was begun with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError
from dormant.files import guarded, write_atomically
from dormant.results import SCHEMA_VERSION, refuse_newer

_NAME = "run.json"
_OF_MODELS = "what is loaded has changed: fingerprint of {}"


def write_manifest(
    path: Path, settings: Mapping[str, Any], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Write a run's manifest.

    Args:
        path: The run directory.
        settings: Everything that decides the numbers; JSON values only.
        versions: Versions of the libraries in use.

    Returns:
        What is in it, with the run's id.

    Raises:
        DormantError: The disk is full or can't be written.
    """
    body = {"settings": dict(settings), "versions": dict(versions)}
    text = json.dumps(body, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    manifest: dict[str, Any] = {"schema": SCHEMA_VERSION, "id": digest, **body}
    guarded(path, lambda: write_atomically(path / _NAME, json.dumps(manifest, indent=1)))
    return manifest


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a run's manifest.

    Args:
        path: The run directory.

    Raises:
        DormantError: There is no run, or the file is damaged.
    """
    file = path / _NAME
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        below = sorted(path.glob(f"*/{file.name}"))
        hint = f", but below it: name one of {len(below)}, as in {below[0].parent}" if below else ""
        raise DormantError(f"{path}: no run there ({file.name} is missing){hint}") from None
    except OSError as error:
        if path.is_file():
            raise DormantError(f"{path} is a file: name its run, {path.parent}") from None
        raise DormantError(f"{file} can't be read: {error.strerror or error}") from None
    refuse_newer(text, file)
    try:
        manifest = json.loads(text)
        assert isinstance(manifest["settings"], dict)
        assert isinstance(manifest["versions"], dict)
        assert isinstance(manifest["id"], str)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise DormantError(f"{file}: damaged; start the run in another directory") from None
    return manifest


def but_for_tuned(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of settings what the tuned model's weights are known by."""
    fingerprints = settings.get("fingerprints")
    if not isinstance(fingerprints, dict):
        return dict(settings)
    return {**settings, "fingerprints": {**fingerprints, "tuned": None}}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Say what was and what is now, for every value that changed; inside objects too."""
    changes: list[str] = []
    for key in sorted({*there, *here}):
        old, new = there.get(key), here.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            inside = differences(cast("dict[str, Any]", old), cast("dict[str, Any]", new))
            within = _OF_MODELS if key == "fingerprints" else f"{key} of {{}}"
            changes += [within.format(change) for change in inside]
        elif old != new:
            changes.append(f"{key} was {old!r}, now {new!r}")
    return changes
