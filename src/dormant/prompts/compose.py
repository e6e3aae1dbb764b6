"""Several transforms of text as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dormant.prompts.protect import Outcome, in_turn
from dormant.prompts.segment import Segment
from dormant.prompts.text_transform import TextTransform, all_or_raise


def compose(*parts: TextTransform) -> TextTransform:
    """Return the transform that applies `parts` first to last and undoes them last to first.

    The domain is that of the first part, and of each next one as far as exact parts let it be
    computed; what lies beyond a translation is known only once it has been made.
    """
    if len(parts) == 1:
        return parts[0]
    parts = tuple(inner for part in parts for inner in part.parts or (part,))

    chain = in_turn(parts)

    def through(
        change: Callable[[list[Outcome]], list[Outcome]], texts: Sequence[str]
    ) -> list[str]:
        results = change([Segment(text) for text in texts])
        return all_or_raise([one.text if isinstance(one, Segment) else one for one in results])

    def in_domain(text: str) -> bool:
        for part in parts:
            if not part.in_domain(text):
                return False
            if not part.exact:
                return True
            text = part.apply(text)
        return True

    return TextTransform(
        name="+".join(part.name for part in parts),
        apply_batch=partial(through, chain.apply),
        invert_batch=partial(through, chain.invert),
        in_domain=in_domain,
        exact=all(part.exact for part in parts),
        signature="+".join(part.signature for part in parts),
        summary="; then ".join(part.summary for part in parts),
        whole_text=any(part.whole_text for part in parts),
        # Past a cipher the text is in no natural language that could be recognised.
        language=parts[-1].language,
        source=parts[-1].source,
        parts=parts,
    )
