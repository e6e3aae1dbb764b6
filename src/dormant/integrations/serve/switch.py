"""Which transform a request gets: the one that it names, its ability's, or the default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dormant import transforms
from dormant.errors import DormantError, unknown
from dormant.integrations.serve.errors import invalid
from dormant.integrations.serve.requests import Wish
from dormant.prompts.text_transform import TextTransform

IDENTITY = "identity"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A transform for a request.

    Attributes:
        transform: The pair (s, s⁻¹); the identity for none.
        ability: The ability that it was chosen for.
        verdict: What the audit says of that.
        note: What else should be known of the choice.
    """

    transform: TextTransform
    ability: str | None = None
    verdict: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What requests may choose from.

    Attributes:
        offered: The transforms by the names that requests may use, the default first; without any,
            requests are answered plainly unless they name an ability.
        abilities: What an audit chose for each ability.
        keep: Whether numbers, URLs, code and the like stay, where a request doesn't say.
    """

    offered: Mapping[str, TextTransform] = field(default_factory=dict[str, TextTransform])
    abilities: Mapping[str, Choice] = field(default_factory=dict[str, Choice])
    keep: bool = False

    def choose(self, wish: Wish) -> Choice:
        """Return the choice for a request.

        Raises:
            Refused: It names a transform or an ability that isn't offered.
        """
        if wish.ability is not None:
            return self._of_ability(wish.ability)
        if wish.said and wish.transform is None:
            return Choice(transform=transforms.get(IDENTITY))
        if not wish.said:
            default = next(iter(self.offered.values()), transforms.get(IDENTITY))
            return Choice(transform=default)
        # Also by its own name: of "caesar" that is "caesar:3".
        known = {one.name: one for one in self.offered.values()} | dict(self.offered)
        known[IDENTITY] = transforms.get(IDENTITY)
        if wish.transform not in known:
            error = unknown("transform", str(wish.transform), known)
            raise _refused(error, "transform", "null for none")
        return Choice(transform=known[wish.transform])

    def _of_ability(self, name: str) -> Choice:
        if not self.abilities:
            raise invalid(
                "no abilities are known: start the server with --choose RUN",
                "dormant.ability",
                "unknown_ability",
            )
        if name not in self.abilities:
            raise _refused(unknown("ability", name, self.abilities), "ability")
        return self.abilities[name]


def _refused(error: DormantError, field: str, more: str = "") -> Exception:
    message = f"{error}; {more}" if more else str(error)
    return invalid(message, f"dormant.{field}", f"unknown_{field}")
