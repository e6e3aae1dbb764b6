"""A task of the harness as an ability."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from dormant.errors import DormantError, unknown
from dormant.libraries import quiet
from dormant.prompts.case import Case
from dormant.prompts.layout import cut, up_to
from dormant.prompts.segment import Segment
from dormant.tasks import data, nli
from dormant.tasks.demonstrations import stream_of
from dormant.tasks.harness.configuration import configuration
from dormant.tasks.task import Judgement, Measure

MEASURES: dict[tuple[str, str], Measure] = {
    ("multiple_choice", "acc"): "most-likely-whole",
    ("multiple_choice", "acc_norm"): "most-likely",
    ("loglikelihood", "acc"): "greedy",
}
"""By the harness's type of task and metric."""


@dataclass(frozen=True, eq=False)
class HarnessTask:
    """A task of the harness, scored by log-probabilities.

    Attributes:
        harness_name: Its name there.
        task: The harness's object.
        metric: Which of its metrics decides success.
    """

    harness_name: str
    task: Any
    metric: str

    @property
    def name(self) -> str:
        """The ability's name: "lm-eval/NAME", with the metric where it isn't the task's first."""
        first = next(iter(self.task._metric_fn_list))
        return f"lm-eval/{self.harness_name}{'' if self.metric == first else f'@{self.metric}'}"

    @property
    def title(self) -> str:
        """What the ability is."""
        return f"lm-evaluation-harness task {self.harness_name}, by {self.metric}"

    @property
    def measure(self) -> Measure:
        """How success is decided."""
        return MEASURES[str(self.task.OUTPUT_TYPE), self.metric]

    @cached_property
    def _chance(self) -> float:
        if self.task.OUTPUT_TYPE != "multiple_choice":
            return 0.0
        docs = self._docs.values()
        return sum(1 / len(self.task.doc_to_choice(doc)) for doc in docs) / len(docs)

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return self._chance

    @property
    def default_shots(self) -> int:
        """Demonstrations as the task's own configuration has it, else none."""
        return int(self.task.config.num_fewshot or 0)

    @cached_property
    def _version(self) -> str:
        text = json.dumps(list(self._docs.values()), sort_keys=True, default=str)
        digest = hashlib.sha256((text + configuration(self.task)).encode())
        return f"{self.task.VERSION}+{digest.hexdigest()[:12]}"

    @property
    def version(self) -> str:
        """The task's version and a fingerprint of its items and of its configuration."""
        return self._version

    def languages(self) -> tuple[str, ...]:
        """Return the one language that the task's name ends in (`xnli_fr`), else English."""
        end = self.harness_name.rpartition("_")[2]
        known = {nli.texts(name).code: name for name in data.languages(nli.FOLDER)}
        return (known.get(end, "english"),)

    def pool(self) -> tuple[str, ...]:
        """Return the numbers of all documents of the split that the harness evaluates."""
        return tuple(self._docs)

    @cached_property
    def _docs(self) -> dict[str, dict[str, Any]]:
        docs = {f"{number:05}": doc for number, doc in enumerate(self.task.eval_docs)}
        if not docs:
            raise DormantError(f"lm-eval task {self.harness_name!r} has no items")
        return docs

    def doc(self, item: str) -> dict[str, Any]:
        """Return an item as the harness knows it."""
        if item not in self._docs:
            raise unknown(f"item of {self.name}", item, self._docs)
        return self._docs[item]

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt, laid out by the harness; see `Task.case`."""
        del language
        doc = self.doc(item)
        prompt = self._context(doc, item, shots, seed)
        kind = self.task.OUTPUT_TYPE
        if kind == "multiple_choice":
            choices = [str(choice) for choice in self.task.doc_to_choice(doc)]
            gold = self.task.doc_to_target(doc)
            right = choices.index(gold) if isinstance(gold, str) and gold in choices else gold
            if not isinstance(right, int) or not 0 <= right < len(choices):
                raise DormantError(
                    f"{self.name}, item {item}: the target {gold!r} is none of its choices"
                )
            answers = [Segment(choices[right])]
            answers += [Segment(text) for place, text in enumerate(choices) if place != right]
            prefix = str(self.task.config.target_delimiter)
        else:
            answers = [Segment(_shown(self.task.doc_to_target(doc)))]
            prefix = ""
        return Case(
            item=item,
            segments=tuple(cut(prompt)),
            target=answers[0],
            others=tuple(answers[1:]),
            answer_prefix=prefix,
        )

    def _context(self, doc: dict[str, Any], item: str, shots: int, seed: int) -> str:
        # The harness draws demonstrations from one stream; a stream an item makes a prompt the
        # same whichever items come before it.
        digest = hashlib.sha256(stream_of(self.harness_name, item, seed).encode()).digest()
        self.task.set_fewshot_seed(int.from_bytes(digest[:4], "big"))
        with quiet():
            try:
                context = self.task.fewshot_context(doc, num_fewshot=shots)
            except (ValueError, KeyError, AssertionError, AttributeError) as error:
                raise DormantError(
                    f"{self.name}, item {item}: no prompt with {shots} demonstrations ({error})"
                ) from error
        return str(context)


class GenerativeHarnessTask(HarnessTask):
    """A task of the harness whose answers are generated; decoding is always greedy."""

    @property
    def measure(self) -> Measure:
        """How success is decided."""
        return "generate"

    @property
    def max_new_tokens(self) -> int:
        """Length at which generation stops, in tokens (the harness's default is 256)."""
        settings = self.task.config.generation_kwargs or {}
        return int(settings.get("max_gen_toks", 256))

    @property
    def until(self) -> tuple[str, ...]:
        """Texts at which generation stops."""
        until = (self.task.config.generation_kwargs or {}).get("until", [])
        return (until,) if isinstance(until, str) else tuple(until)

    def judge(self, cases: Sequence[Case], outputs: Sequence[str]) -> list[Judgement]:
        """Judge s⁻¹(output) by the task's first filter and its metric, against the plain item."""
        return [self._judged(*pair) for pair in zip(cases, outputs, strict=True)]

    def _judged(self, case: Case, output: str) -> Judgement:
        from lm_eval.api.instance import Instance

        doc = self.doc(case.item)
        said = case.undone(output)
        if said is None:
            return Judgement(False, "UNREADABLE")
        said = up_to(said, self.until)
        instance = Instance("generate_until", doc, (case.prompt, {}), 0)
        instance.resps = [said]
        with quiet():
            self.task._filters[0].apply([instance])
            (filtered,) = instance.filtered_resps.values()
            values = cast("dict[str, Any]", self.task.process_results(doc, [filtered]))
        value = values.get(self.metric)
        if not isinstance(value, (bool, int, float)) or value not in (0, 1):
            raise DormantError(
                f"{self.name}, item {case.item}: metric {self.metric} gave {value!r}; an audit "
                "counts successes, so it must be 0 or 1: choose another with @METRIC "
                f"(it has {', '.join(values)})"
            )
        return Judgement(bool(value), "RIGHT" if value else "WRONG" if said.strip() else "EMPTY")


def _shown(target: object) -> str:
    if isinstance(target, Sequence) and not isinstance(target, str):
        first: object = next(iter(cast("Sequence[object]", target)), "")
        return str(first)
    return str(target)
