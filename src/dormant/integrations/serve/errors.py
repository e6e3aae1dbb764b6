"""What a request is refused with: one line, in OpenAI's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse


class Refused(Exception):
    """A request that isn't answered.

    Attributes:
        status: The HTTP status.
        message: One line: what is wrong, and how to fix it.
        param: The request's field at fault, if one is.
        code: A word for programs.
        more: Further fields of the error's body, e.g. "dormant".
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.more = dict(more or {})

    @property
    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        said = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": {**said, **self.more}}

    def response(self) -> JSONResponse:
        """The answer to the request."""
        return JSONResponse(self.body, self.status)


def invalid(message: str, param: str | None = None, code: str | None = None) -> Refused:
    """Return the refusal of a request that its sender can fix."""
    return Refused(400, message, param=param, code=code)
