"""vLLM as a worker (`workers`), in an environment of its own; `time_to_verdict.py` starts it.

Three ways. ``vllm`` asks for the log-probabilities of whole prompts, answers included, as
lm-evaluation-harness does; vLLM computes such prompts anew, whatever its prefix cache holds.
``vllm-cached`` has it read the cache nevertheless (``skip_reading_prefix_cache=False``): what it
then says of cached tokens is void, so answers of which a token was cached are asked anew.
``vllm-greedy`` generates ten tokens, the paper's way, and there the cache serves by itself.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from workers import NEW_TOKENS, Channel, Rows, begins


def main() -> None:
    """Load, then answer."""
    channel = Channel()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True, help="a directory of Transformers' own format")
    parser.add_argument("--tuned", required=True, help="another")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--share", type=float, default=0.4, help="of the memory, a model")
    options = parser.parse_args()
    import vllm

    engines = {
        which: vllm.LLM(
            model=getattr(options, which),
            dtype=options.dtype,
            max_model_len=options.max_length,
            gpu_memory_utilization=options.share,
            enable_prefix_caching=True,
        )
        for which in ("base", "tuned")
    }
    channel.loaded(vllm=vllm.__version__)
    for way, rows in channel.requests():
        for lm in engines.values():
            lm.reset_prefix_cache()
        start = time.perf_counter()
        said = {
            which: by_generation(lm, rows)
            if way == "vllm-greedy"
            else by_prompts(lm, rows, cached=way == "vllm-cached")
            for which, lm in engines.items()
        }
        channel.answer(said, time.perf_counter() - start)


def by_prompts(lm: Any, rows: Rows, *, cached: bool) -> list[list[tuple[float, bool]]]:
    """Score each answer as the end of a prompt, reading the prefix cache or not."""
    encode = lm.get_tokenizer().encode
    whole: list[list[int]] = []
    starts: list[int] = []
    for prompt, answers in rows:
        context = encode(prompt)
        for answer in answers:
            whole.append(encode(prompt + answer))
            starts.append(len(context))
    outputs = read(lm, whole, cached)
    if cached:
        # The token before an answer must have been computed for the answer's first to be known.
        void = [
            at
            for at, (start, output) in enumerate(zip(starts, outputs, strict=True))
            if output.num_cached_tokens >= start
        ]
        again = read(lm, [whole[at] for at in void], False)
        for at, output in zip(void, again, strict=True):
            outputs[at] = output
    scored = []
    for ids, start, output in zip(whole, starts, outputs, strict=True):
        steps = [output.prompt_logprobs[at][ids[at]] for at in range(start, len(ids))]
        scored.append((sum(one.logprob for one in steps), all(one.rank == 1 for one in steps)))
    left = iter(scored)
    return [[next(left) for _ in answers] for _, answers in rows]


def read(lm: Any, whole: list[list[int]], cached: bool) -> list[Any]:
    """Have the log-probabilities of prompts' tokens computed."""
    from vllm import SamplingParams

    # With the chosen tokens comes their rank; their texts are no use here.
    options: dict[str, Any] = {"max_tokens": 1, "prompt_logprobs": 0, "detokenize": False}
    wanted = SamplingParams(temperature=0.0, skip_reading_prefix_cache=not cached, **options)
    prompts = [{"prompt_token_ids": ids} for ids in whole]
    return list(lm.generate(prompts, wanted, use_tqdm=False))


def by_generation(lm: Any, rows: Rows) -> list[list[tuple[None, bool]]]:
    """Generate ten tokens and compare texts."""
    from vllm import SamplingParams

    wanted = SamplingParams(temperature=0.0, max_tokens=NEW_TOKENS)
    prompts = [prompt for prompt, _ in rows]
    outputs = lm.generate(prompts, wanted, use_tqdm=False)
    return [
        [(None, begins(output.outputs[0].text, answer)) for answer in answers]
        for output, (_, answers) in zip(outputs, rows, strict=True)
    ]


if __name__ == "__main__":
    main()
