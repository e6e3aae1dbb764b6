"""The harness's cache of answers (``--use_cache``), kept apart by transform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook, hash_args

from dormant.errors import DormantError

if TYPE_CHECKING:
    from sqlitedict import SqliteDict


class Back(CacheHook):
    """Turns what the base notes of s(request) into notes of the request itself.

    Without it a note of s(request) would be taken for the answer to another request that has these
    very words.

    Attributes:
        outer: The harness's own hook.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.outer = CacheHook(None)
        self._known: dict[str, list[tuple[Iterable[Any], Callable[[Any], Any]]]] = {}

    def expect(
        self,
        method: str,
        requests: Sequence[Instance],
        changed: Sequence[tuple[Any, ...]],
        backs: Sequence[Callable[[Any], Any]],
    ) -> None:
        """Take note of which requests changed ones stand for."""
        if self.outer.dbdict is None:
            return
        for request, arguments, back in zip(requests, changed, backs, strict=True):
            self._known.setdefault(hash_args(method, arguments), []).append((request.args, back))

    def clear(self) -> None:
        """Forget them."""
        self._known.clear()

    def add_partial(self, attr: str, req: Iterable[Any], res: Any) -> None:
        """Keep an answer to s(request) as one to the request."""
        if self.outer.dbdict is None:
            return
        for arguments, back in self._known.get(hash_args(attr, req), ()):
            self.outer.add_partial(attr, arguments, back(res))


def use_table(store: SqliteDict, name: str) -> None:
    """Point the harness's cache at a table of its file, which is made if missing."""
    file = getattr(store, "filename", None)
    if file is None or not hasattr(store, "tablename"):
        raise DormantError(
            "this version of lm-eval keeps answers in a cache that can't be told apart by "
            "transform: run without --use_cache"
        )
    from sqlitedict import SqliteDict

    SqliteDict(file, tablename=name).close()
    store.tablename = name
