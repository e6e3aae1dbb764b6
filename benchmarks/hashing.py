"""Speed of the hashes that could tell checkpoints apart, on a file that the system has in memory.

    python benchmarks/hashing.py

The best of three readings of half a gigabyte, and what 14 GB would take.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

SIZE, REPEATS = 1 << 29, 3
HASHES = ("sha256", "sha1", "blake2b", "sha512", "md5", "blake2s")


def seconds(file: Path, kind: str) -> float:
    began = time.perf_counter()
    with file.open("rb") as stream:
        hashlib.file_digest(stream, kind)
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights"
        file.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
        for kind in HASHES:
            best = min(seconds(file, kind) for _ in range(REPEATS))
            print(f"{kind:8} {SIZE / best / 1e9:5.2f} GB/s, 14 GB in {14e9 * best / SIZE:4.1f} s")


if __name__ == "__main__":
    main()
