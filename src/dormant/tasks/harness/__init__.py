"""Any task of lm-evaluation-harness as an ability: `lm-eval:NAME`, or `lm-eval:FILE.yaml`.

The harness lays out the prompt, its description and its demonstrations; Dormant scores it in four
cells. Multiple choice is right when the right choice is the likeliest (`acc`: as a whole;
`acc_norm`: per character); a task of type loglikelihood when greedy decoding gives its target; a
generation task when its own filters and metric say so, after s⁻¹.
"""

from __future__ import annotations

from dormant.tasks.harness.loading import load

__all__ = ["load"]
