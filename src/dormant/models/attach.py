"""Putting a PEFT adapter on a loaded base model, and refusing one that doesn't arrive there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dormant.errors import DormantError, one_line
from dormant.libraries import collecting
from dormant.models.arguments import LoadOptions
from dormant.models.checkpoint import LoadLog
from dormant.models.embeddings import fit_embeddings
from dormant.models.keys import KeyReport, cause, strip
from dormant.models.spec import ModelSpec
from dormant.models.stored import adapter_config, place
from dormant.scoring.wrappers import adapter_kind

_NAME = "default"
"""The name under which PEFT keeps an adapter where none is given."""
_RANDOM = "pissa_niter_"
_SHARED = ("vblora_vector_bank", "prompt_encoder", ".tinylora_v.", ".unilora_theta_d.")
"""Parameters that PEFT keeps once and shows in every layer: it asks for each, and needs one."""


def attach_adapter(
    model: Any, spec: ModelSpec, options: LoadOptions | None = None, *, log: LoadLog | None = None
) -> Any:
    """Put a PEFT adapter on a loaded base model, which it shares and does not copy.

    Where the adapter has rows for more tokens than the base, the base's embeddings get as many.

    Args:
        model: The base model, which is changed.
        spec: The adapter.
        options: How it is loaded; `strip_prefix` is taken out of the names of its tensors.
        log: Takes what the libraries warn of.

    Raises:
        DormantError: The adapter can't be read, was made for a base of another shape, or holds
            tensors that find no place, or lacks some.
    """
    from peft import PeftModel

    log, options = log or LoadLog(), options or LoadOptions()
    fetched = place(spec, options)
    what = f"adapter {spec.text!r} (made for {spec.base!r})"
    watch = _Watch()
    with collecting(log.warnings):
        try:
            watch.tensors = _read(
                spec, model, fetched, str(options.model_args.get("strip_prefix", "") or "")
            )
            fit_embeddings(model, spec, options, watch.tensors)
            if adapter_config(spec, options).get("peft_type") == "XLORA":
                model.config.use_cache = False  # as X-LoRA demands
            with watch.loading():
                peft = PeftModel.from_pretrained(model, spec.location, **fetched).eval()
        except DormantError:
            raise
        except Exception as error:
            # safetensors raises its own exception type for a damaged file; PEFT stumbles over
            # names that it doesn't find before it tells them.
            report = watch.report()
            if not report.clean:
                raise _unfit(what, report) from error
            if isinstance(error, ValueError | RuntimeError):
                raise DormantError(
                    f"{what} does not fit this base model: {one_line(error)}"
                ) from error
            raise DormantError(f"{what} can't be read: {one_line(error)}; save it again") from error
        report = watch.report()
    if not report.clean:
        raise _unfit(what, report)
    if not any(bool(tensor.any()) for tensor in watch.tensors.values()):
        log.warn(f"{what}: all its {len(watch.tensors)} tensors are zero")
    if str(start := getattr(peft.peft_config[_NAME], "init_lora_weights", "")).startswith(_RANDOM):
        log.warn(
            f"{what} began by init_lora_weights={start!r}, a random decomposition of the base's "
            "weights that is made anew here: it is near what was trained, and not equal; save it "
            "as plain LoRA (path_initial_model_for_weight_conversion)"
        )
    kind = adapter_kind(peft.peft_config[_NAME])
    log.facts["adapter"] = f"{kind}, {len(watch.tensors)} tensors, all in place"
    return peft


def _read(
    spec: ModelSpec, model: Any, fetched: Mapping[str, Any], strip_prefix: str
) -> dict[str, Any]:
    from peft.utils.save_and_load import load_peft_weights

    tensors = load_peft_weights(spec.location, device=str(model.device), **fetched)
    if not tensors:
        raise DormantError(
            f"adapter {spec.text!r}: its file holds no tensors, as DeepSpeed's ZeRO-3 leaves it "
            "where the shards were not gathered: save it again, gathered"
        )
    return (
        {strip(key, strip_prefix): at for key, at in tensors.items()} if strip_prefix else tensors
    )


def _unfit(what: str, report: KeyReport) -> DormantError:
    return DormantError(
        f"{what} does not fit this base model: {report.counts()}: {cause(report, adapter=True)}"
    )


@dataclass
class _Watch:
    """What becomes of an adapter's tensors in PEFT, which doesn't say so to its caller."""

    tensors: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: Any = None
    result: Any = None

    @contextlib.contextmanager
    def loading(self) -> Generator[None]:
        """Give PEFT our tensors, and keep what it makes of them."""
        import peft.peft_model

        library: Any = peft.peft_model
        read, load = library.load_peft_weights, library.PeftModel.load_adapter

        def read_weights(*given: Any, **options: Any) -> Any:
            # A few models of Transformers 4 have other names inside than in files.
            return read(*given, **options) if options.get("key_mapping") else self.tensors

        def load_adapter(peft: Any, *given: Any, **options: Any) -> Any:
            self.model = peft
            self.result = load(peft, *given, **options)
            return self.result

        library.load_peft_weights, library.PeftModel.load_adapter = read_weights, load_adapter
        try:
            yield
        finally:
            library.load_peft_weights, library.PeftModel.load_adapter = read, load

    def report(self) -> KeyReport:
        """Compare the names in the file with those that PEFT would write."""
        if self.model is None or not self.tensors:
            return KeyReport()
        wanted = _written(self.model)
        there = set(self.tensors)
        if self.result is not None and not _prompts(self.model):
            # PEFT found every place itself, names of older versions included.
            missing = {
                self._in_file(key)
                for key in self.result.missing_keys
                if not any(part in key for part in _SHARED)
            }
            unexpected: Collection[str] = {
                key
                for key in map(self._in_file, self.result.unexpected_keys)
                # Of embeddings that grew, PEFT writes what it has trained twice.
                if key.replace(".modules_to_save.", ".") not in there - {key}
            }
        else:
            missing, unexpected = set(wanted) - there, there - set(wanted)
        shapes = {
            key: (tuple(at.shape), tuple(wanted[key].shape))
            for key, at in self.tensors.items()
            if key in wanted
        }
        return KeyReport(
            missing=tuple(sorted(missing)),
            unexpected=tuple(sorted(unexpected)),
            mismatched=tuple(
                (key, at, want) for key, (at, want) in sorted(shapes.items()) if at != want
            )
            if self.result is None
            else (),
            expected=len(wanted),
        )

    def _in_file(self, key: str) -> str:
        return key.replace(f".{_NAME}.", ".").removesuffix(f".{_NAME}")


def _prompts(peft: Any) -> bool:
    """Whether an adapter is a prompt, which PEFT keeps beside the model and loads by itself."""
    return bool(getattr(peft.peft_config[_NAME], "is_prompt_learning", False))


def _written(peft: Any) -> dict[str, Any]:
    """Return what PEFT would write for an adapter: by the same names, what its file must hold."""
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(peft, adapter_name=_NAME, save_embedding_layers=False)
