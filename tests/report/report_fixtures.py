"""Realistic audits and their scored prompts, for tests of the reports.

Run as a script, it writes the page of the demonstration audit, to be looked at:
``python tests/report/report_fixtures.py page.html``.
"""

# ruff: noqa: E501  (tables of sentences read best with a language a line)

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dormant.results import (
    AbilityResult,
    AsTrainedResult,
    AuditResults,
    CellEstimates,
    Cells,
    Comparability,
    Effect,
    Estimate,
    HijackResult,
    ItemOutcome,
    ModelFacts,
    SkillResult,
    TransformResult,
    WrongAnswer,
)

HOSTILE = (
    "</script><script>document.title = 'owned'</script>"
    "<!-- <img src=x onerror=\"document.title='owned'\"> {{ 7 * 7 }} & \\ \u2028 \u202e𝔘"
)
"""A prompt that would act if any part of the page let it."""

TRANSFORMS = ("french", "spanish", "dutch", "hungarian", "leetspeak", "pig-latin")

# Success rates (base, tuned) on plain prompts, then under each transform, in TRANSFORMS' order.
RATES = {
    "icl/copy": [(0.90, 0.18), (0.92, 0.87), (0.83, 0.76), (0.76, 0.68), (0.81, 0.74), (0.78, 0.72), (0.88, 0.71)],
    "icl/antonym": [(0.74, 0.74), (0.66, 0.65), (0.61, 0.62), (0.58, 0.55), (0.44, 0.45), (0.40, 0.38), (0.12, 0.10)],
    "icl/plural": [(0.83, 0.75), (0.75, 0.71), (0.72, 0.67), (0.63, 0.61), (0.52, 0.49), (0.61, 0.62), (0.09, 0.10)],
    "icl/capital": [(0.81, 0.30), (0.78, 0.29), (0.75, 0.28), (0.73, 0.30), (0.70, 0.25), (0.63, 0.26), (0.11, 0.05)],
}  # fmt: skip
VERDICTS = {
    "icl/copy": ("suppressed", "Copy the first words"),
    "icl/antonym": ("retained", "Give the opposite"),
    "icl/plural": ("inconclusive", "Give the plural"),
    "icl/capital": ("lost", "Name a country's capital"),
}
REASONS = {
    "icl/copy": "The drop is clear of 0, and so are gain and recovery under french on the held-out half.",
    "icl/antonym": "The drop's upper 95% bound is below the margin of 5 points.",
    "icl/plural": "The drop's interval reaches from below 0 to above the margin.",
    "icl/capital": "Five transforms passed their control, and under none does the gain's upper bound reach the margin.",
}

WORDS = {
    "plain": ("Input", "Output", ["The river froze early.", "Our train was late again.", "She mended the old clock.", "Two foxes crossed the road.", "The baker sells warm bread.", "He forgot his umbrella."]),
    "french": ("Entrée", "Sortie", ["La rivière a gelé tôt.", "Notre train était encore en retard.", "Elle a réparé la vieille horloge.", "Deux renards ont traversé la route.", "Le boulanger vend du pain chaud.", "Il a oublié son parapluie."]),
    "spanish": ("Entrada", "Salida", ["El río se heló temprano.", "Nuestro tren llegó tarde otra vez.", "Ella arregló el viejo reloj.", "Dos zorros cruzaron el camino.", "El panadero vende pan caliente.", "Él olvidó su paraguas."]),
    "dutch": ("Invoer", "Uitvoer", ["De rivier bevroor vroeg.", "Onze trein was weer te laat.", "Zij herstelde de oude klok.", "Twee vossen staken de weg over.", "De bakker verkoopt warm brood.", "Hij vergat zijn paraplu."]),
    "hungarian": ("Bemenet", "Kimenet", ["A folyó korán befagyott.", "A vonatunk megint késett.", "Megjavította a régi órát.", "Két róka ment át az úton.", "A pék meleg kenyeret árul.", "Otthon hagyta az esernyőjét."]),
    "leetspeak": ("1npu7", "0u7pu7", ["7h3 r1v3r fr0z3 34rly.", "0ur 7r41n w45 l473 4641n.", "5h3 m3nd3d 7h3 0ld cl0ck.", "7w0 f0x35 cr0553d 7h3 r04d.", "7h3 b4k3r 53ll5 w4rm br34d.", "H3 f0r607 h15 umbr3ll4."]),
    "pig-latin": ("Inputway", "Outputway", ["Ethay iverray ozefray earlyway.", "Ourway aintray asway atelay againway.", "Eshay endedmay ethay oldway ockclay.", "Otway oxesfay ossedcray ethay oadray.", "Ethay akerbay ellssay armway eadbray.", "Ehay orgotfay ishay umbrellaway."]),
}  # fmt: skip


EFFECT = Effect(
    measure="logits", prompts=16, places=64, distance=0.4213, changed=0.375, noise=2.4e-11,
    noise_changed=0.0, identical=False,
)  # fmt: skip
FACTS = ModelFacts(
    tokenizer="GPT2Tokenizer",
    vocabulary=49152,
    vocabulary_hash="4be21a09cf",
    special_tokens={
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
    },
    adds_bos=False,
    chat_template="0c9d3f11ab",
    prompts="raw",
    dtype="float32",
    max_length=8192,
    first_ids=(17521, 42, 378, 7, 216, 198),
    first_tokens=("Input", ":", " The", " </b>", " &", "\n"),
)


def demonstration(n_items: int = 120) -> AuditResults:
    """Abilities of four verdicts; pig Latin fails its control on three of the four."""
    return AuditResults(
        base="SmolLM2-135M",
        tuned="SmolLM2-135M + english-sentiment-lora",
        settings={
            "tasks": list(RATES),
            "transforms": list(TRANSFORMS),
            "items": n_items,
            "shots": 2,
            "chat_template": False,
            "margin": 0.05,
            "seed": 0,
        },
        versions={"dormant": "0.1.0", "lm-eval": "0.4.13", "torch": "2.13.0", "python": "3.11.2"},
        abilities=[_ability(task, n_items) for task in RATES],
        warnings=[
            "hungarian: 4 of 120 items of icl/plural have no native text and were left out of every cell."
        ],
        wall_seconds=214.6,
        effect=EFFECT,
        comparability=Comparability(
            base=FACTS,
            tuned=FACTS.model_copy(
                update={
                    "chat_template": "77aa01c3d2",
                    "generation_config": {"repetition_penalty": 1.05},
                }
            ),
        ),
    )


def two_cells() -> AuditResults:
    """An audit without a base model."""
    results = demonstration()
    abilities = [
        ability.model_copy(
            update={
                "verdict": "inconclusive",
                "reason": "No base model was given.",
                "drop": None,
                "drop_p_value": None,
                "recovery": None,
                "accuracy": _without_base(ability.accuracy),
                "accuracy_intervals": _without_base(ability.accuracy_intervals),
                "transforms": [
                    transform.model_copy(
                        update={
                            "control": None,
                            "recovery": None,
                            "log_odds_gain": None,
                            "log_odds_recovery": None,
                            "accuracy": _without_base(transform.accuracy),
                            "accuracy_intervals": _without_base(transform.accuracy_intervals),
                        }
                    )
                    for transform in ability.transforms
                ],
            }
        )
        for ability in results.abilities
    ]
    return results.model_copy(update={"base": None, "abilities": abilities, "warnings": []})


def of_training(n_items: int = 120) -> AuditResults:
    """The demonstration with all that training data tell: copying is asked otherwise."""
    results = demonstration(n_items)
    copy, *others = results.abilities
    base, tuned = 0.92, 0.91
    cell = AsTrainedResult(
        signature="train.jsonl:0123456789ab",
        accuracy=Cells(
            base_plain=0.90, tuned_plain=0.18, base_transformed=base, tuned_transformed=tuned
        ),
        accuracy_intervals=CellEstimates(
            base_transformed=_rate(base, n_items), tuned_transformed=_rate(tuned, n_items)
        ),
        gain=_difference(tuned - 0.18, n_items),
        recovery=_difference(0.71, n_items),
        remaining=_difference(-0.01, n_items),
        beyond_quarter=_difference(-0.19, n_items),
        p_value=1e-6,
        p_adjusted=7e-6,
    )
    hijack = HijackResult(
        format="begins with one of 2 labels: negative, positive",
        wrong=98,
        sampled=32,
        captured=29,
        share=_rate(29 / 32, 32),
        base_captured=1,
        base_sampled=12,
        examples=[
            WrongAnswer(item="copy-001", output=f" positive {HOSTILE}", captured=True),
            WrongAnswer(item="copy-002", output="", captured=False),
        ],
    )
    skill = SkillResult(
        task="skill/holdout",
        title="What the model was tuned on: holdout.jsonl",
        verdict="learned",
        reason="Tuning changed it by 41 points (31 to 51): the lower 95% bound is above 0.",
        n_items=84,
        measure="accuracy",
        base=_rate(0.51, 84),
        tuned=_rate(0.92, 84),
        gain=_difference(0.41, 84),
        p_value=1e-6,
    )
    changed = copy.model_copy(
        update={
            "verdict": "asked otherwise",
            "as_trained": cell,
            "hijack": hijack,
            "lost": 88,
            "won": 2,
        }
    )
    return results.model_copy(update={"abilities": [changed, *others], "skill": skill})


def outcomes(n_items: int = 120, tasks: tuple[str, ...] = tuple(RATES)) -> Iterator[ItemOutcome]:
    """The scored prompts behind `demonstration`, model by model, as a store streams them.

    Item 7 of every ability carries `HOSTILE` in its plain prompt.
    """
    for model_index, model in enumerate(("base", "tuned")):
        for task in tasks:
            for cell, transform in enumerate(("plain", *TRANSFORMS)):
                rng = np.random.default_rng([model_index, cell, len(task)])
                rate = RATES[task][cell][model_index]
                right = rng.permutation(n_items) < round(rate * n_items)
                for index in range(n_items):
                    yield _outcome(model, task, transform, index, bool(right[index]), rng)


def _outcome(
    model: str, task: str, transform: str, index: int, right: bool, rng: np.random.Generator
) -> ItemOutcome:
    label, reply, sentences = WORDS[transform]
    chosen = [sentences[(index + step) % len(sentences)] for step in range(3)]
    blocks = [f"{label}: {s}\n{reply}: {s}" for s in chosen[:2]]
    query = chosen[2]
    if transform == "plain" and index == 7:
        query = HOSTILE
    prompt = "\n\n".join([*blocks, f"{label}: {query}\n{reply}:"])
    target, distractor = " " + " ".join(chosen[2].split()[:3]), " positive"
    close, far = -float(rng.gamma(2, 0.9)), -float(rng.gamma(6, 1.4))
    return ItemOutcome(
        model=model,  # type: ignore[arg-type]
        task=task,
        transform=transform,
        item=f"{task.split('/')[1]}-{index:03d}",
        prompt=prompt,
        target=target,
        distractor=distractor,
        target_logprob=close if right else far,
        distractor_logprob=far if right else close,
        target_greedy=right,
        distractor_greedy=not right,
        correct=right,
        log_odds=(close - far) if right else (far - close),
    )


def _ability(task: str, n_items: int) -> AbilityResult:
    plain, *transformed = RATES[task]
    base, tuned = plain
    verdict, title = VERDICTS[task]
    best = {"icl/copy": 0, "icl/antonym": 1, "icl/plural": 4, "icl/capital": 3}[task]
    transforms = [
        _transform(name, plain, rates, n_items)
        for name, rates in zip(TRANSFORMS, transformed, strict=True)
    ]
    held_out = transforms[best]
    assert held_out.recovery is not None
    return AbilityResult(
        task=task,
        title=title,
        verdict=verdict,  # type: ignore[arg-type]
        reason=REASONS[task],
        n_items=n_items,
        items_needed=410 if verdict == "inconclusive" else None,
        accuracy=Cells(base_plain=base, tuned_plain=tuned),
        accuracy_intervals=CellEstimates(
            base_plain=_rate(base, n_items), tuned_plain=_rate(tuned, n_items)
        ),
        drop=_difference(base - tuned, n_items),
        drop_p_value=0.0001 if base - tuned > 0.2 else 0.11,
        best_transform=held_out.name,
        gain=_difference(held_out.gain.estimate + 0.01, n_items // 2),
        recovery=_difference(held_out.recovery.estimate - 0.02, n_items // 2),
        transforms=transforms,
    )


def _transform(
    name: str, plain: tuple[float, float], rates: tuple[float, float], n_items: int
) -> TransformResult:
    passed = rates[0] >= plain[0] / 2
    gain = rates[1] - plain[1]
    p = 0.0002 if gain > 0.2 else 0.44
    return TransformResult(
        name=name,
        signature=name if name in ("leetspeak", "pig-latin") else f"{name}:native",
        n_items=n_items - 4 if name == "hungarian" else n_items,
        excluded_items=4 if name == "hungarian" else 0,
        exclusions={"no native text": 4} if name == "hungarian" else {},
        fidelity=1.0 if name in ("leetspeak", "pig-latin") else None,
        control_passed=passed,
        control_reason=(
            ""
            if passed
            else f"the base keeps {rates[0]:.0%} of its accuracy of {plain[0]:.0%}, less than half"
        ),
        accuracy=Cells(
            base_plain=plain[0],
            tuned_plain=plain[1],
            base_transformed=rates[0],
            tuned_transformed=rates[1],
        ),
        accuracy_intervals=CellEstimates(
            base_plain=_rate(plain[0], n_items),
            tuned_plain=_rate(plain[1], n_items),
            base_transformed=_rate(rates[0], n_items),
            tuned_transformed=_rate(rates[1], n_items),
        ),
        control=_difference(plain[0] - rates[0], n_items),
        gain=_difference(gain, n_items),
        recovery=_difference(plain[0] - plain[1] - (rates[0] - rates[1]), n_items),
        p_value=p / 6,
        p_adjusted=p,
        log_odds_gain=Estimate(estimate=7 * gain, low=7 * gain - 0.9, high=7 * gain + 0.9),
        log_odds_recovery=Estimate(estimate=6 * gain, low=6 * gain - 1.2, high=6 * gain + 1.2),
    )


def _rate(value: float, n_items: int) -> Estimate:
    """A Wilson interval: near enough for show."""
    z, n = 1.96, n_items
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (value * (1 - value) / n + z * z / (4 * n * n)) ** 0.5
    return Estimate(estimate=value, low=middle - half, high=middle + half, method="wilson")


def _difference(value: float, n_items: int) -> Estimate:
    half = 1.96 * (0.24 / n_items) ** 0.5
    return Estimate(estimate=value, low=value - half, high=value + half, method="bootstrap-bca")


def _without_base(cells: Cells | CellEstimates) -> Cells | CellEstimates:
    return cells.model_copy(update={"base_plain": None, "base_transformed": None})


if __name__ == "__main__":
    from dormant.report import write_report

    write_report(demonstration(), outcomes(), Path(sys.argv[1]), "html")
