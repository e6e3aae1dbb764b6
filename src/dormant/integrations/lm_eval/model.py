"""The model `dormant` of lm-evaluation-harness: another model of the harness, conjugated."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook

from dormant import transforms
from dormant.errors import DormantError, unknown
from dormant.integrations.lm_eval import NAME
from dormant.integrations.lm_eval.base import OverBase, loaded_weights, start
from dormant.integrations.lm_eval.caches import Back, use_table
from dormant.integrations.lm_eval.requests import Rendered, Requests
from dormant.scoring.generation import GenerationConfig, generation_of

_HEAD = 32
"""Characters by which a template's rendering is known again."""

_log = logging.getLogger(__name__)


class ConjugateLM(OverBase):
    """Another model of the harness, conjugated: s⁻¹ ∘ model ∘ s.

    Args:
        base: The harness's name of the model below: "hf", "vllm", "local-completions", …, or
            "dormant-fast", Dormant's scorer.
        transform: A transform, or several joined by "+".
        source: The language of the tasks, which languages in `transform` translate from.
        keep: Whether numbers, URLs, code and the like stay as they are.
        batch_size: For the base, as are all below.
        max_batch_size: See there.
        device: See there.
        generation_config: "greedy" lets a Hugging Face model obey no generation settings but the
            task's; "own" those that came with the checkpoint as well.
        arguments: The base's own. For Hugging Face models, ``pretrained`` may be a model that
            Dormant ships ("smollm2").

    Raises:
        DormantError: The transform or the base is unknown, or the base can't be started.
    """

    def __init__(
        self,
        base: str = "hf",
        transform: str = "identity",
        source: str = "english",
        keep: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        generation_config: str = "greedy",
        **arguments: Any,
    ) -> None:
        super().__init__()
        if generation_config not in get_args(GenerationConfig):
            raise unknown("generation_config", generation_config, get_args(GenerationConfig))
        self.requests = Requests(transforms.get(str(transform), source), keep=_flag("keep", keep))
        self.base = start(
            base,
            arguments,
            {"batch_size": batch_size, "max_batch_size": max_batch_size, "device": device},
        )
        self.base.generation = generation_config
        # Files may be others by the end of a long run.
        self._weights = loaded_weights(base, arguments, type(self.base))
        own = [generation_config] if generation_config != "greedy" else []
        asked = json.dumps([base, arguments, *own], sort_keys=True, default=str)
        self._cache_table = f"{NAME}-{_digest(self.requests.signature, asked)}"
        self._back = Back()
        self._templated = False
        self._heads: set[str] = set()
        self._protected: dict[str, tuple[str, ...]] = {}
        if not self.requests.transform.exact:
            _log.warning(
                "%s is a translation: answers to choose from are translated one by one, and what "
                "doesn't survive the way there and back isn't left out, as `dormant audit` leaves "
                "it out",
                transform,
            )

    # -- requests -------------------------------------------------------------------------------

    def loglikelihood(self, requests: list[Instance], **options: Any) -> list[tuple[float, bool]]:
        """Score s(continuation) after s(context); see the harness's `LM`.

        Raises:
            DormantError: A text is outside the domain of s, or can't be rendered.
        """
        given = [cast("tuple[Any, str]", request.args) for request in requests]
        changed = self.requests.pairs([(self._checked(pair[0]), pair[1]) for pair in given])
        self._tell_doubles(given, changed)
        return self._ask("loglikelihood", requests, changed, **options)

    def loglikelihood_rolling(self, requests: list[Instance], **options: Any) -> list[float]:
        """Score s(text) as a whole; see the harness's `LM`.

        The harness divides by the words and bytes of the text itself, not of s(text).

        Raises:
            DormantError: A text is outside the domain of s, or can't be rendered.
        """
        texts = [str(request.args[0]) for request in requests]
        changed = [(text,) for text in self.requests.documents(texts)]
        return self._ask("loglikelihood_rolling", requests, changed, **options)

    def generate_until(self, requests: list[Instance], **options: Any) -> list[str]:
        """Continue s(context) up to s of a stop string, and undo s on what was written.

        Raises:
            DormantError: A prompt is outside the domain of s, or can't be rendered.
        """
        given = [cast("tuple[Any, dict[str, Any]]", request.args) for request in requests]
        stops = [_stops(settings) for _, settings in given]
        changed = self.requests.generations(
            [
                (self._checked(context), until)
                for (context, _), until in zip(given, stops, strict=True)
            ]
        )
        unreadable: set[int] = set()
        answers = self._ask(
            "generate_until",
            requests,
            [
                (one.prompt, {**settings, **({"until": one.until} if until else {})})
                for one, (_, settings), until in zip(changed, given, stops, strict=True)
            ],
            backs=[
                functools.partial(
                    self._undo,
                    protected=one.protected or self._protected.get(str(one.prompt), ()),
                    until=until,
                    unreadable=functools.partial(unreadable.add, place),
                )
                for place, (one, until) in enumerate(zip(changed, stops, strict=True))
            ],
            **options,
        )
        if unreadable:
            _log.warning(
                "%s: %d of %d answers can't be read back, and count as empty",
                self.requests.transform.name,
                len(unreadable),
                len(answers),
            )
        return answers

    def _undo(
        self,
        output: Any,
        *,
        protected: Sequence[str],
        until: Sequence[str],
        unreadable: Callable[[], None],
    ) -> Any:
        if not isinstance(output, str):
            return output  # servers answer nothing at all when they gave up
        plain = self.requests.undone(output, protected, until)
        if plain is None:
            unreadable()
        return plain or ""

    def _ask(
        self,
        method: str,
        requests: Sequence[Instance],
        changed: Sequence[tuple[Any, ...]],
        *,
        backs: Sequence[Callable[[Any], Any]] | None = None,
        **options: Any,
    ) -> list[Any]:
        """Put changed requests to the base and undo the change on its answers."""
        undo = backs or [_as_it_is] * len(requests)
        self._back.expect(method, requests, changed, undo)
        new = [
            dataclasses.replace(request, arguments=arguments, resps=[], filtered_resps={})
            for request, arguments in zip(requests, changed, strict=True)
        ]
        try:
            with generation_of(self.base):
                found: list[Any] = getattr(self.base, method)(new, **options)
        finally:
            self._back.clear()
        return [back(one) for back, one in zip(undo, found, strict=True)]

    # -- chat templates -------------------------------------------------------------------------

    def apply_chat_template(
        self, chat_history: list[dict[str, Any]], *positional: Any, **options: Any
    ) -> Any:
        """Put s of each message into the base's template, and mark the prompt as transformed.

        Raises:
            DormantError: A message is not text, or outside the domain of s.
        """
        contents = [message["content"] for message in chat_history]
        if odd := [one for one in contents if not isinstance(one, str)]:
            raise DormantError(
                f"a message of the chat is a {type(odd[0]).__name__}, and only text can be "
                "transformed: run tasks with images or sound on the base model itself"
            )
        history = [
            {**message, "content": text}
            for message, text in zip(chat_history, self.requests.texts(contents), strict=True)
        ]
        rendered: Any = self.base.apply_chat_template(history, *positional, **options)
        protected = self.requests.protected(contents)
        if not isinstance(rendered, str):
            self._protected[str(rendered)] = protected
            return rendered
        self._templated = True
        self._heads.add(rendered[:_HEAD])
        marked = Rendered(rendered)
        marked.protected = protected
        return marked

    def _checked(self, context: Any) -> Any:
        """Refuse a prompt whose template would be transformed too."""
        if (
            self._templated
            and isinstance(context, str)
            and not isinstance(context, Rendered)
            and context[:_HEAD] in self._heads
        ):
            raise DormantError(
                "a task changes its prompts after the chat template was put on them, so its words "
                f"can't be told from the template's ({context[:60]!r}): run it without "
                "--apply_chat_template"
            )
        return context

    # -- caches ---------------------------------------------------------------------------------

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Keep the answers under this transform apart in the harness's cache of answers.

        The cache knows a request by its method and arguments alone, which are the same under every
        transform, and looks it up before this model is asked. So each transform, with each base,
        gets a table of its own in the cache's file. The base's own notes are of s(request); they
        are kept as the request's.

        Raises:
            DormantError: The cache has no tables.
        """
        store = cache_hook.dbdict
        if store is not None:
            use_table(store, self._cache_table)
        super().set_cache_hook(cache_hook)
        self._back.outer = cache_hook
        self.base.set_cache_hook(self._back)

    @property
    def tokenizer_name(self) -> str:
        """The base's, and the transform: prompts that the harness keeps hold s(messages)."""
        return f"{self.base.tokenizer_name}-{_slug(self.requests.signature)}"

    def get_model_info(self) -> dict[str, Any]:
        """Return what the base says of itself, its weights, and what was done to its prompts."""
        info: Callable[[], dict[str, Any]] | None = getattr(self.base, "get_model_info", None)
        said = info() if info else {}
        return {**said, **self._weights, "transform": self.requests.signature}

    # -- warnings -------------------------------------------------------------------------------

    def _tell_doubles(
        self, given: Sequence[tuple[Any, ...]], changed: Sequence[tuple[Any, str]]
    ) -> None:
        """Warn where different answers to one prompt have become the same."""
        answers: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for (context, continuation, *_), (_, image) in zip(given, changed, strict=True):
            answers[str(context)][image].add(continuation)
        doubled = sum(
            any(len(texts) > 1 for texts in images.values()) for images in answers.values()
        )
        if doubled:
            _log.warning(
                "%s: answers that differ have become the same in %d of %d prompts, which no model "
                "can choose between",
                self.requests.transform.name,
                doubled,
                len(answers),
            )


def _stops(settings: Mapping[str, Any]) -> list[str]:
    until = settings.get("until") or []
    return [until] if isinstance(until, str) else list(until)


def _as_it_is(answer: Any) -> Any:
    return answer


def _flag(name: str, value: object) -> bool:
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise DormantError(f"{name}={value}: must be True or False")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _slug(text: str) -> str:
    # Names of files are made of it; the digest tells apart what loses its signs.
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', text)[:60]}-{_digest(text)}"
