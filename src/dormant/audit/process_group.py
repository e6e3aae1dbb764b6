"""Several processes, one audit: data parallelism under ``torchrun`` or ``accelerate launch``.

Every process plans the same batches and scores its share; the first one owns the run directory.
A batch is scored as a whole by one process, so the records are those of a single process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from dormant.errors import DormantError

_T = TypeVar("_T")


class ProcessGroup:
    """The processes of one audit; a group of one where nothing launched more.

    Reads the environment that ``torchrun`` and ``accelerate launch`` set: RANK and WORLD_SIZE.

    Attributes:
        rank: This process, from 0; the first one writes.
        size: How many there are.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self._joined = False
        if self.size > 1:
            import torch.distributed as dist

            if not dist.is_initialized():
                # Records travel as Python objects, which gloo carries on every machine.
                dist.init_process_group("gloo")
                self._joined = True

    @property
    def first(self) -> bool:
        """Whether this process owns the run directory."""
        return self.rank == 0

    def once(self, work: Callable[[], _T]) -> _T:
        """Do `work` in the first process only, and give its result to all.

        Raises:
            DormantError: The first process raised it; all do.
        """
        if self.size == 1:
            return work()
        import torch.distributed as dist

        box: list[Any] = [None, None]
        if self.first:
            try:
                box[0] = work()
            except DormantError as error:
                box[1] = str(error)
        dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise DormantError(box[1])
        return box[0]

    def share(self, work: Callable[[], _T]) -> list[_T]:
        """Do `work` in every process, and give all results to all, in rank order.

        Raises:
            DormantError: Some process raised it; all do, so that none waits for the others.
        """
        if self.size == 1:
            return [work()]
        import torch.distributed as dist

        mine: tuple[Any, str | None]
        try:
            mine = (work(), None)
        except DormantError as error:
            mine = (None, str(error))
        box: list[Any] = [None] * self.size
        dist.all_gather_object(box, mine)
        for _, error in box:
            if error is not None:
                raise DormantError(error)
        return [value for value, _ in box]

    def close(self) -> None:
        """Leave the group, if it was formed here."""
        if self._joined:
            import torch.distributed as dist

            dist.destroy_process_group()
            self._joined = False
