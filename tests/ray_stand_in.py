"""Stands for Ray where the driver's own logic is tested: actors in this process, lost on demand."""

from __future__ import annotations

import pickle
from types import SimpleNamespace


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class ObjectLostError(RayError):
    pass


class RayTaskError(RayError):
    pass


class StandIn:
    """A cluster.

    Args:
        cpus: Processors of each machine.
        lost: Says of a call, by its method and arguments, whether its worker dies of it.
        gpus: GPUs of all machines.
    """

    exceptions = SimpleNamespace(
        RayError=RayError, RayActorError=RayActorError, ObjectLostError=ObjectLostError,
        RayTaskError=RayTaskError,
    )  # fmt: skip

    def __init__(self, cpus=(8,), lost=lambda method, args: False, gpus=0):
        self.cpus, self.lost, self.gpus = cpus, lost, gpus
        self.options: list[dict] = []
        self.calls: list[tuple[str, tuple]] = []
        self.alive: set[object] = set()
        self.most_alive = 0

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": float(n)}} for n in self.cpus]

    def cluster_resources(self):
        return {"CPU": float(sum(self.cpus))} | ({"GPU": float(self.gpus)} if self.gpus else {})

    def put(self, value):
        return value

    def remote(self, kind):
        def create(*args):
            # As between machines: nothing is shared.
            actor = _Actor(self, kind(*pickle.loads(pickle.dumps(args))))
            self.alive.add(actor)
            self.most_alive = max(self.most_alive, len(self.alive))
            return actor

        def options(**given):
            self.options.append(given)
            return SimpleNamespace(remote=create)

        return SimpleNamespace(options=options)

    def wait(self, waiting, num_returns, timeout):
        # The last one first: answers come in any order.
        return waiting[-num_returns:], waiting[:-num_returns]

    def get(self, call):
        actor, method, args = call
        self.calls.append((method, args))
        if self.lost(method, args):
            self.alive.discard(actor)
            raise RayActorError("The actor died unexpectedly before finishing this task.\nmore")
        answer = getattr(actor.worker, method)(*pickle.loads(pickle.dumps(args)))
        return pickle.loads(pickle.dumps(answer))

    def kill(self, actor):
        self.alive.discard(actor)


class _Actor:
    def __init__(self, ray, worker):
        self.ray, self.worker = ray, worker

    def __getattr__(self, method):
        return SimpleNamespace(remote=lambda *args: _Call((self, method, args)))


class _Call(tuple):
    """A reference: told from others by being itself."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__
