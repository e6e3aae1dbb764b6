"""Named random streams: every draw is a function of one seed, a name and the step."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, *path: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator that depends on the seed, the path and nothing else.

    A run that stops and resumes draws the same numbers as one that did not, since the state of a
    stream is its name and the step.

    Args:
        seed: The seed of the run.
        path: What the numbers are for: ("pretraining", rank, step).
        device: Where the numbers are drawn; a CPU and a GPU draw different ones.
    """
    text = "\x1f".join(str(part) for part in (seed, *path))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    generator = torch.Generator(device=device)
    # Python's signed 64 bits are what manual_seed takes.
    generator.manual_seed(int.from_bytes(digest, "big", signed=True))
    return generator
