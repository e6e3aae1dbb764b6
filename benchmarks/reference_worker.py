"""The ways of `references` as a worker (`workers`), which `time_to_verdict.py` starts."""

from __future__ import annotations

import argparse
import time
from typing import Any

from workers import Channel


def main() -> None:
    """Load both models, then answer."""
    channel = Channel()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--tuned", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-size", type=int, help="lm-eval's; the best one by default")
    options = parser.parse_args()
    import torch
    from measured_on import peak_mebibytes, quiet, synchronise
    from references import best_batch_size, by_generation, by_harness, harness

    from dormant.models.load import load_hf

    def load(name: str) -> tuple[Any, Any]:
        model, tokenizer = load_hf(name, dtype=options.dtype, device=options.device)
        # An adapter is added to the weights, as one does who asks it a lot.
        return (model.merge_and_unload() if hasattr(model, "peft_config") else model), tokenizer

    quiet()
    loaded = {which: load(getattr(options, which)) for which in ("base", "tuned")}
    channel.loaded(threads=torch.get_num_threads())
    size: int | None = options.batch_size
    sizes: dict[str, float] = {}
    for way, rows in channel.requests():
        texts, answers = [text for text, _ in rows], [row for _, row in rows]
        if way == "lm-eval" and size is None:
            some = slice(None, None, max(1, len(texts) // 24))
            size, sizes = best_batch_size(*loaded["base"], texts[some], answers[some])
        said: dict[str, Any] = {}
        synchronise(options.device)
        start = time.perf_counter()
        for which, (model, tokenizer) in loaded.items():
            if way == "lm-eval":
                said[which] = by_harness(harness(model, tokenizer, size or 1), texts, answers)
            else:
                said[which] = by_generation(model, tokenizer, texts, answers)
        synchronise(options.device)
        seconds = time.perf_counter() - start
        about = {"batch_size": size, "seconds_by_batch_size": sizes} if way == "lm-eval" else {}
        channel.answer(said, seconds, peak_mib=round(peak_mebibytes()), **about)


if __name__ == "__main__":
    main()
