"""The provider `dormant/MODEL`: any model that Dormant can name, asked with the prompt itself.

Inspect's own providers of local models make a chat of every prompt. Here a prompt reaches the
tokenizer as it is, unless ``-M prompts=chat`` asks for the model's template.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

import anyio
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelCall,
    ModelOutput,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from dormant.errors import DormantError
from dormant.integrations.inspect.errors import convert_errors
from dormant.models import generate as generation
from dormant.models.arguments import ScorerName
from dormant.models.fingerprint import fingerprint
from dormant.models.load import LoadOptions, load
from dormant.models.spec import ModelSpec, parse
from dormant.models.weights import WEIGHTS, weights_of
from dormant.models.worker import Worker
from dormant.prompts.case import Style

if TYPE_CHECKING:
    from lm_eval.api.model import LM


_DEFAULT_MAX_TOKENS = 256
_AT_ONCE = 32
"""Samples that Inspect asks about at once: the most prompts of a batch."""
_LOOK = 0.01
"""Seconds between two looks at whether an answer is there."""
_LOADING = ("dtype", "device", "scorer", "batch_size")
_GREEDY: Mapping[str, tuple[object, ...]] = {
    "temperature": (0,),
    "top_p": (1,),
    "top_k": (1,),
    "best_of": (1,),
    "num_choices": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "prompt_logprobs": (),
    "response_schema": (),
}
"""Settings that greedy decoding honours only where they have one of these values, or none."""


@modelapi(name="dormant")
def provider() -> type[ModelAPI]:
    """Models as Dormant names them: ``dormant/smollm2``, ``dormant/DIRECTORY``, adapters, GGUF."""
    return DormantAPI


class DormantAPI(ModelAPI):
    """A model behind lm-evaluation-harness's interface, asked greedily.

    Args:
        model_name: What may be typed for a model of `dormant audit` (`dormant.models.spec`).
        base_url: Handed to a backend that takes it.
        api_key: Not used.
        config: Inspect's settings.
        prompts: "raw" gives the model the prompt itself; "chat" puts it into the chat template.
        model_args: `dtype`, `device`, `scorer`, `batch_size` (see `LoadOptions`); for a model that
            a backend of the harness serves, more of that backend's arguments.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  (Inspect's own signature)
        prompts: str = "raw",
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        with convert_errors():
            if prompts not in get_args(Style):
                raise DormantError(f"prompts={prompts}: write raw or chat")
            self.prompts = cast(Style, prompts)
            self.options = _options(model_args)
            self.spec = _with_arguments(parse(model_name), base_url, model_args)
        # Inspect's cache of answers tells models apart by name and address alone: two ways to put
        # a prompt, or a checkpoint that was overwritten, must not share one.
        self.base_url = f"{prompts}:{self.options}:{self.spec.location}:{fingerprint(self.spec)}"
        self._weights = _weights(self.spec)
        self._lm: LM | None = None
        self._lock = threading.Lock()
        self._worker = Worker(self._outputs, "dormant")

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> tuple[ModelOutput, ModelCall]:
        """Answer a conversation; the log keeps the prompt as the tokenizer got it.

        Raises:
            DormantError: Tools or sampling are asked for, a message holds more than text, or the
                model can't be loaded or fails.
        """
        del tool_choice
        if tools:
            raise DormantError(f"{self.model_name}: tools can't be put to a model as a raw prompt")
        _refuse_sampling(self.model_name, config)
        began = time.monotonic()
        prompt = await anyio.to_thread.run_sync(self.rendered, input)
        length, until = config.max_tokens or _DEFAULT_MAX_TOKENS, tuple(config.stop_seqs or ())
        output = await self._answered(generation.Wanted(prompt, length, until))
        asked = {"prompt": prompt, "max_new_tokens": length, "until": until}
        call = ModelCall.create(asked, {"output": output}, time=time.monotonic() - began)
        answer = ModelOutput.from_content(self.model_name, output)
        # The log holds no more of a provider than what it was given; of which weights, this says.
        answer.metadata = self._weights
        return answer, call

    def max_connections(self) -> int:
        """Return how many samples are asked at once."""
        return _AT_ONCE

    def connection_key(self) -> str:
        """Return what models share connections with: none."""
        return self.model_name

    def close(self) -> None:
        """Let go of the model."""
        self._worker.close()
        self._lm = None

    def rendered(self, messages: Sequence[ChatMessage]) -> str:
        """Return the prompt as the tokenizer gets it.

        A raw prompt is the text of the user's message. Where there are several messages, they are
        joined by blank lines, in order and without their roles: a base model knows none.

        Raises:
            DormantError: A message holds more than text, the model has no chat template, or the
                template has no place for a system message.
        """
        for message in messages:
            if not isinstance(message.content, str) and any(
                part.type != "text" for part in message.content
            ):
                raise DormantError(
                    f"{self.model_name}: a {message.role} message holds more than text"
                )
        if self.prompts == "raw":
            return "\n\n".join(message.text for message in messages)
        turns = [{"role": message.role, "content": message.text} for message in messages]
        goes_on = bool(messages) and isinstance(messages[-1], ChatMessageAssistant)
        lm = self._loaded()
        text = generation.render_chat(lm, turns, answer=not goes_on)
        if generation.leaves_out_system(lm, turns, text, answer=not goes_on):
            raise DormantError(
                f"{self.model_name}: the chat template leaves out the system message: leave it out "
                "of the evaluation, or use -M prompts=raw"
            )
        return text

    def _loaded(self) -> LM:
        with self._lock:
            if self._lm is None:
                self._lm = load(self.spec, self.options)
            return self._lm

    async def _answered(self, wanted: generation.Wanted) -> str:
        future = self._worker.submit(wanted)
        # Inspect runs on asyncio or Trio, and a sample may be cancelled at any time.
        while not future.done():
            await anyio.sleep(_LOOK)
        return future.result()

    def _outputs(self, wanted: Sequence[generation.Wanted]) -> list[str]:
        return generation.generate_each(self._loaded(), wanted)


def _weights(spec: ModelSpec) -> dict[str, Any] | None:
    """Return what a log is to say of the weights that are loaded."""
    found = weights_of(spec)
    return None if found is None else {WEIGHTS: found.model_dump(mode="json")}


def _options(model_args: dict[str, Any]) -> LoadOptions:
    """Take what `LoadOptions` knows out of the arguments."""
    given = {name: model_args.pop(name) for name in _LOADING if name in model_args}
    if given.get("scorer") not in (None, *get_args(ScorerName)):
        raise DormantError(f"scorer={given['scorer']}: write {' or '.join(get_args(ScorerName))}")
    return LoadOptions(**given)


def _with_arguments(spec: ModelSpec, base_url: str | None, model_args: dict[str, Any]) -> ModelSpec:
    """Hand arguments on to a backend; other models take none."""
    more = {**model_args, **({"base_url": base_url} if base_url else {})}
    if not more:
        return spec
    if spec.kind != "backend":
        raise DormantError(
            f"model {spec.text!r} takes no argument {next(iter(more))!r}: "
            f"prompts, {', '.join(_LOADING)} are known"
        )
    arguments = ",".join(f"{name}={value}" for name, value in more.items())
    return replace(spec, location=",".join(part for part in (spec.location, arguments) if part))


def _refuse_sampling(model: str, config: GenerateConfig) -> None:
    for name, honoured in _GREEDY.items():
        value = getattr(config, name, None)
        if value is not None and value not in honoured:
            raise DormantError(
                f"dormant/{model} decodes greedily and can't honour {name}={value}: leave it out"
                + (", or give --temperature 0" if name == "temperature" else "")
            )
