"""``dormant lm-eval``: lm-evaluation-harness's own command line, with Dormant's models in it."""

from __future__ import annotations

import sys

import typer

from dormant.errors import DormantError


def lm_eval(context: typer.Context) -> None:
    """Run lm-evaluation-harness (`lm_eval`) with its model `dormant`, which conjugates any task.

    Everything after `dormant lm-eval` goes to `lm_eval` as it is, `--help` included:
    `dormant lm-eval --model dormant --model_args base=hf,pretrained=MODEL,transform=leetspeak
    --tasks TASK`.
    """
    try:
        from lm_eval.__main__ import cli_evaluate
    except ModuleNotFoundError as error:
        raise DormantError(
            "lm-evaluation-harness is not installed: pip install 'dormant[models]'"
        ) from error
    from dormant.integrations.lm_eval import register

    register()
    sys.argv = ["lm-eval", *context.args]
    cli_evaluate()
