"""Speed and fidelity of every transform on our own sentences.

    python benchmarks/transforms.py              # figures as text
    python benchmarks/transforms.py --table      # the table of docs/transforms.md
    python benchmarks/transforms.py --checks     # how often the language of a text is misjudged

Forward and back are timed apart, without the cache of translations, checks included. Apertium is
also timed as most scripts use it, with one process a sentence, on a few sentences. Speeds are the
median of three runs of at least a fifth of a second each; the process of a translator runs already.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
import tomllib
from collections.abc import Callable
from importlib.resources import files

os.environ["DORMANT_CACHE"] = ""  # translations are to be made, not looked up

from dormant import transforms
from dormant.errors import DormantError
from dormant.prompts.protect import find
from dormant.prompts.text_transform import outcomes
from dormant.transforms.fidelity import measure, summarise
from dormant.translation import checks
from dormant.translation.languages import find as find_language

TRANSLATIONS = ("spanish@apertium", "catalan@apertium", "galician@apertium")
COMPOSITIONS = ("spanish@apertium+leetspeak",)
RUNS = 3
SHORTEST_RUN_S = 0.2
ONE_PROCESS_EACH = 20
DOMAINS = {
    "base64": "all but lone surrogates",
    "full-width": "no full-width characters",
    "hex": "all but lone surrogates",
    "mathematical": "no such characters",
    "pig-latin": "no `·` in it",
    "reversed-characters": "nearly all (clusters stay apart)",
}
"""Where the domain is not all Unicode text."""


def sentences(language: str = "english") -> list[str]:
    """Our sentences, which are data of the task icl_vs_if."""
    data = files("dormant.tasks") / f"data/icl_vs_if/{language}.toml"
    return list(tomllib.loads(data.read_text(encoding="utf-8"))["sentences"].values())


def seconds(call: Callable[[], object]) -> float:
    """Median over a few runs of the wall time of a call; a run repeats calls that are short."""
    times = list[float]()
    for _ in range(RUNS):
        start, calls = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < SHORTEST_RUN_S:
            call()
            calls += 1
        times.append(elapsed / calls)
    return statistics.median(times)


def one_process_each(texts: list[str], mode: str) -> float:
    """Sentences a second when every sentence starts the program anew."""
    start = time.perf_counter()
    for text in texts:
        subprocess.run(["apertium", mode], input=text, text=True, capture_output=True, check=True)
    return len(texts) / (time.perf_counter() - start)


def row(name: str, texts: list[str]) -> dict[str, str]:
    """Measure one transform."""
    transform = transforms.get(name)
    transform.apply(texts[0])  # starts the process, loads the model
    there = outcomes(transform.apply_batch, texts)
    answers = [one for one in there if isinstance(one, str)]
    outcomes(transform.invert_batch, answers[:1])
    forward = len(texts) / seconds(lambda: outcomes(transform.apply_batch, texts))
    back = len(answers) / seconds(lambda: outcomes(transform.invert_batch, answers))
    summary = summarise(measure(transform, texts, [find(text) for text in texts]))
    base = name.partition(":")[0]
    domain = "one language, no NUL" if not transform.exact else DOMAINS.get(base, "all text")
    return {
        "transform": f"`{name}`",
        "domain": domain,
        "exact": "yes" if transform.exact else "no",
        "forward": f"{forward:,.0f}",
        "back": f"{back:,.0f}",
        "chrF": f"{summary.chrf:.1f}",
        "identical": f"{summary.identical:.0%}",
        "passed": f"{summary.passed} of {summary.count}",
        "left out": "; ".join(f"{n} × {why}" for why, n in summary.reasons.items()),
    }


def judge_languages() -> None:
    """Print how often `wrong_language` is wrong, and how often it sees text left in English."""
    english = sentences()
    for language in ("spanish", "french", "dutch", "hungarian"):
        code = find_language(language).code
        good, wrong = sentences(language), checks.wrong_language
        alarms = sum(wrong(text, "en", code) is not None for text in good)
        caught = sum(wrong(text, "en", code) is not None for text in english)
        print(
            f"{language}: {alarms} of {len(good)} native sentences held to be in another; "
            f"{caught} of {len(english)} English ones told"
        )
    for name in TRANSLATIONS:
        transform = transforms.get(name)
        made = [one for one in outcomes(transform.apply_batch, english) if isinstance(one, str)]
        print(f"{name}: {len(english) - len(made)} of {len(english)} sentences refused")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="as the Markdown table of the docs")
    parser.add_argument("transforms", nargs="*", help="names; all of ours if none is given")
    parser.add_argument("--checks", action="store_true", help="judge the judge of languages")
    chosen = parser.parse_args()
    if chosen.checks:
        judge_languages()
        return
    texts = sentences()
    rows = list[dict[str, str]]()
    for name in chosen.transforms or [*transforms.names(), *TRANSLATIONS, *COMPOSITIONS]:
        try:
            rows.append(row(name, texts))
        except DormantError as error:
            print(f"{name}: {error}")
    print(f"{len(texts)} sentences, Python {platform.python_version()}, {os.cpu_count()} CPUs\n")
    if chosen.table:
        print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
        for one in rows:
            print("| " + " | ".join(one.values()) + " |")
    else:
        for one in rows:
            print("  ".join(f"{key} {value}" for key, value in one.items() if value))
    for name, mode in zip(TRANSLATIONS, ("eng-spa", "eng-cat", "en-gl"), strict=True):
        mine = next((one for one in rows if one["transform"] == f"`{name}`"), None)
        if mine:
            alone = one_process_each(texts[:ONE_PROCESS_EACH], mode)
            ratio = float(mine["forward"].replace(",", "")) / alone
            print(f"\n{mode}: one process a sentence {alone:.1f} a second; long-lived {ratio:.0f}×")


if __name__ == "__main__":
    main()
