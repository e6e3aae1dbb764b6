"""Any model that an audit can load, as a translator: ``spanish@lm:MODEL``.

Found by `dormant.transforms` through the entry point group ``dormant.translators``, as another
package's engine would be: transforms import no language models.
"""

from __future__ import annotations

from collections.abc import Sequence

from dormant.errors import DormantError
from dormant.models import generate as generation
from dormant.models.fingerprint import fingerprint
from dormant.models.load import load
from dormant.models.spec import parse
from dormant.translation.language_model import LanguageModel

_LONGEST_TOKENS = 256


def translator(spec: str | None) -> LanguageModel:
    """Return a translator that asks a model, greedily and without a chat template.

    Args:
        spec: The model, as `dormant audit` takes it.

    Raises:
        DormantError: No model is named, or it can't be loaded.
    """
    if not spec:
        raise DormantError("name the model that is to translate, as LANGUAGE@lm:MODEL")
    # A checkpoint that is saved anew under its old name is another translator.
    release = f"{spec}-{fingerprint(parse(spec))[:8]}"
    lm = load(spec)

    def generate(prompts: Sequence[str]) -> list[str]:
        return generation.generate(lm, prompts, max_new_tokens=_LONGEST_TOKENS, until=["\n"])

    return LanguageModel(generate, release=release)
