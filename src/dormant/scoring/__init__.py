"""Scoring answers to prompts: the protocol, our fast scorer, and any other model of the harness.

`protocol` says what a scorer is; `scorer` is ours, `harness` any other. `encoding`,
`rows` and `prefix_tree` turn prompts into tokens to be read, each distinct prefix once; `attention`
lets Transformers' models attend along such a tree; `forward` runs a batch; `tokenisations` and
`judging` settle whether greedy decoding writes an answer with other tokens than ours; `arithmetic`
chooses between bfloat16 and float32, by a `trial`. Texts are written by `completer`.
"""
