"""Cases that are made when they are asked for, so that an audit doesn't hold its prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dormant.prompts.case import Case


class LazyCases(Mapping[str, Case]):
    """Cases that are made when they are asked for, each time anew.

    Args:
        items: Their ids, in order.
        make: Makes the cases of some of these.
    """

    def __init__(
        self, items: Iterable[str], make: Callable[[Sequence[str]], Sequence[Case]]
    ) -> None:
        self._items = dict.fromkeys(items)
        self.make = make

    def __getitem__(self, item: str) -> Case:
        if item not in self._items:
            raise KeyError(item)
        return self.make([item])[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items


def some(cases: Mapping[str, Case], items: Sequence[str]) -> Sequence[Case]:
    """Return the cases of some items; their texts are made together where they are made."""
    return cases.make(items) if isinstance(cases, LazyCases) else [cases[item] for item in items]
