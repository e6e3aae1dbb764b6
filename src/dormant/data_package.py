"""Where weights lie that would make Dormant's own wheel too large: the package dormant-data.

In a clone they are in a folder beside the source, which needs no installing and has the right
version; that one goes first.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path

from dormant.errors import DormantError

_NAME = "dormant_data"
_IN_CLONE = Path(__file__).parents[2] / "packages" / "dormant-data" / "src" / _NAME


def data_path(inside: str, what: str, extra: str) -> Path:
    """Return where a file or folder of dormant-data lies.

    Args:
        inside: Its place in the package, as in "adapters/sentiment".
        what: What needs it, for the message.
        extra: Dormant's extra that brings the package.

    Raises:
        DormantError: The package isn't installed, or another version of it that has no such file.
    """
    folder = _folder()
    if folder is None:
        raise DormantError(
            f"{what}: its weights are in the package dormant-data, which is not installed: "
            f"pip install 'dormant[{extra}]'"
        )
    path = folder / inside
    if not path.exists():
        raise DormantError(
            f"{what}: no {inside} in the installed package dormant-data, which is of another "
            f"version: pip install --upgrade 'dormant[{extra}]'"
        )
    return path


def _folder() -> Path | None:
    if _IN_CLONE.is_dir():
        return _IN_CLONE
    spec = util.find_spec(_NAME)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
