"""Any model that an audit can load, as a translator: ``spanish@lm:MODEL``.

Found by `dormant.transforms` through the entry point group ``dormant.translators``, as another
package's engine would be: transforms import no language models.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from dormant.devices import pick_device, wanted
from dormant.errors import DormantError
from dormant.models import generate as generation
from dormant.models.fingerprint import fingerprint
from dormant.models.load import LoadOptions, load
from dormant.models.spec import parse
from dormant.translation.language_model import LanguageModel

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_LONGEST_TOKENS = 256


def translator(spec: str | None) -> LanguageModel:
    """Return a translator that asks a model, greedily and without a chat template.

    It is loaded on the device that is wanted now, and anew where another one is when it is asked
    (`dormant.devices.use`).

    Args:
        spec: The model, as `dormant audit` takes it.

    Raises:
        DormantError: No model is named, or it can't be loaded.
    """
    if not spec:
        raise DormantError("name the model that is to translate, as LANGUAGE@lm:MODEL")
    parsed = parse(spec)
    # A checkpoint that is saved anew under its old name is another translator.
    release = f"{spec}-{fingerprint(parsed)[:8]}"

    @lru_cache(maxsize=1)
    def loaded(device: str) -> LM:
        return load(parsed, LoadOptions(device=device))

    def here() -> LM:
        # A backend's device stands in its own arguments.
        return loaded("auto" if parsed.kind == "backend" else pick_device(wanted()))

    def generate(prompts: Sequence[str]) -> list[str]:
        return generation.generate(here(), prompts, max_new_tokens=_LONGEST_TOKENS, until=["\n"])

    here()  # What can't be loaded is told at once, not of each text.
    return LanguageModel(generate, release=release)
