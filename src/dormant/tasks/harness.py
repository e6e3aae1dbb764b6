"""Any task of lm-evaluation-harness as an ability: `lm-eval:NAME`, or `lm-eval:FILE.yaml`.

The harness lays out the prompt, its description and its demonstrations; Dormant scores it in four
cells. Multiple choice is right when the right choice is the likeliest (`acc`: as a whole;
`acc_norm`: per character); a task of type loglikelihood when greedy decoding gives its target; a
generation task when its own filters and metric say so, after s⁻¹.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError, unknown
from dormant.libraries import quiet
from dormant.prompts.case import Case
from dormant.prompts.layout import cut, up_to
from dormant.prompts.segment import Segment
from dormant.tasks import data, nli
from dormant.tasks.harness_config import configuration
from dormant.tasks.task import Judgement, Measure

_MEASURES: dict[tuple[str, str], Measure] = {
    ("multiple_choice", "acc"): "most-likely-whole",
    ("multiple_choice", "acc_norm"): "most-likely",
    ("loglikelihood", "acc"): "greedy",
}
_LOCAL = (
    "to run offline, pass a task's own YAML file (--task lm-eval:FILE.yaml) that names local data: "
    "dataset_path: json, dataset_kwargs: {data_files: {test: FILE.jsonl}}"
)


def load(name: str) -> list[HarnessTask]:
    """Load a task, tag or group of the harness.

    Args:
        name: Its name, or a YAML file's path; followed by ``@METRIC`` to choose another metric
            than the task's first.

    Raises:
        DormantError: There is no such task, its data can't be fetched, or it is of a kind that
            can't be put as a case.
    """
    name, _, metric = name.partition("@")
    importlib.import_module("datasets")  # so that its bars are held back

    with quiet():
        if name.endswith((".yaml", ".yml")):
            path = Path(name).expanduser()
            spec = _task_name(path)
            manager = _manager(path.parent)
        else:
            spec, manager, path = name, _manager(None), None
        if spec not in manager.all_tasks:
            close = difflib.get_close_matches(spec, manager.all_tasks, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise DormantError(f"unknown lm-eval task {spec!r}: {hint}`lm_eval ls tasks` lists all")
        try:
            found = _loaded(manager, spec, path)
        except Exception as error:
            # The harness, the data sets library and a task's own code raise whatever they like.
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise DormantError(
                f"lm-eval task {spec!r} can't be loaded "
                f"({(lines or [type(error).__name__])[0][:200]}); {_LOCAL}"
            ) from error
    return [_wrap(task_name, task, metric) for task_name, task in found.items()]


def _loaded(manager: Any, spec: str, path: Path | None) -> dict[str, Any]:
    """Load a task; local data files are looked for from here, as lm_eval does, and beside it."""
    try:
        return cast("dict[str, Any]", manager.load(spec)["tasks"])
    except FileNotFoundError:
        if path is None:
            raise
        with contextlib.chdir(path.parent):
            return cast("dict[str, Any]", manager.load(spec)["tasks"])


def _manager(folder: Path | None) -> Any:
    """Index the tasks of a folder, or, which takes seconds, of the harness itself."""
    from lm_eval.tasks import TaskManager

    if folder is None:
        return _harness_manager()
    return TaskManager(include_path=folder.resolve(), include_defaults=False)


@cache
def _harness_manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _wrap(name: str, task: Any, metric: str) -> HarnessTask:
    kind = str(task.OUTPUT_TYPE)
    metrics: list[str] = list(task._metric_fn_list)
    chosen = metric or next(iter(metrics), "none")
    if chosen not in metrics:
        raise unknown(f"metric of lm-eval task {name!r}", chosen, metrics)
    if kind == "generate_until":
        return GenerativeHarnessTask(name, task, chosen)
    if (kind, chosen) not in _MEASURES or callable(task.config.process_results):
        raise DormantError(
            f"lm-eval task {name!r} ({kind}, metric {chosen}) has no right answer to count: "
            "multiple choice by acc or acc_norm, loglikelihood by acc and generation tasks can be "
            "audited"
        )
    if task.multiple_input or task.multiple_target:
        raise DormantError(
            f"lm-eval task {name!r} has several prompts or several right answers an item, which "
            "an audit can't pair"
        )
    return HarnessTask(name, task, chosen)


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
        return _MEASURES[str(self.task.OUTPUT_TYPE), self.metric]

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
        found = {f"{number:05}": doc for number, doc in enumerate(self.task.eval_docs)}
        if not found:
            raise DormantError(f"lm-eval task {self.harness_name!r} has no items")
        return found

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
        digest = hashlib.sha256(f"{seed}/{self.harness_name}/{item}".encode()).digest()
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


def _task_name(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"{path}: can't be read: {error}") from None
    match = re.search(r"^task:\s*[\"']?([^\"'\s#]+)", text, re.MULTILINE)
    if match is None:
        raise DormantError(f"{path}:1: a task of lm-eval needs a line `task: NAME`")
    return match[1]
