"""Which prompts of a task an audit puts to its models."""

from __future__ import annotations

from dataclasses import dataclass

from dormant.tasks.task import Task, draw_items, in_random_order

DEFAULT_ITEMS = 100
"""Items an ability, where the pool has as many (paper §3.1: 100 prompts a cell)."""


@dataclass(frozen=True)
class ItemSample:
    """Which prompts of a task: the items, and the demonstrations before them.

    Attributes:
        items: Source items.
        shots: Demonstrations a prompt.
        seed: Decides the demonstrations.
        fixed: Whether all items have the same ones.
    """

    items: tuple[str, ...]
    shots: int
    seed: int
    fixed: bool = False

    @classmethod
    def of(
        cls,
        task: Task,
        *,
        n: int | None,
        shots: int | None,
        seed: int,
        shuffled: bool = False,
        fixed: bool = False,
    ) -> ItemSample:
        """Choose a task's prompts.

        Args:
            task: The ability.
            n: Items; `None` means `DEFAULT_ITEMS`, or the whole pool where it is smaller.
            shots: Demonstrations a prompt; `None` means the task's own number.
            seed: Decides items and demonstrations.
            shuffled: Whether the items come in a random order, as they must where the first of
                them may decide: a pool's later items may be of another difficulty.
            fixed: Whether all items have the same demonstrations.

        Raises:
            DormantError: More items are asked for than the pool has.
        """
        n = min(DEFAULT_ITEMS, len(task.pool())) if n is None else n
        items = draw_items(task, n, seed)
        if shuffled:
            items = in_random_order(items, f"{seed}/{task.name}/looks")
        return cls(items, task.default_shots if shots is None else shots, seed, fixed)
