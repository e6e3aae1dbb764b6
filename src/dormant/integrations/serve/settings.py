"""What a server's user decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from dormant.audit.flags import Flag, UserSettings


class ServeSettings(UserSettings):
    """How a server is run."""

    model: str
    """Any model that `dormant audit` takes, or the address of an OpenAI-compatible server."""
    transforms: Annotated[
        tuple[str, ...], Flag("transform", "-s", default="none, requests are answered plainly")
    ] = ()
    """Transform that requests may choose; repeat, or separate by commas. The first is the
    default."""
    choose: Annotated[Path | None, Flag(metavar="RUN")] = None
    """A finished audit: a request may name an ability, and gets the transform that was found best
    for it."""
    source: str = "english"
    """Language of the requests, which languages translate from."""
    keep: bool = False
    """Leave numbers, URLs, code, tags and placeholders as they are, where a request doesn't say."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8400
    """Port to listen at; 0 for any."""
    timeout: Annotated[float, Field(ge=0.01)] = 120
    """Seconds that another server may be silent."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    """Length of an answer, in tokens, where a request doesn't say; of models that run here."""
    dtype: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
