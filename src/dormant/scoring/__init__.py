"""The parts of the fast scorer (`dormant.scoring.scorer`).

`rows` and `forest` turn prompts into tokens to be read, each distinct prefix once; `attention`
lets Transformers' models attend along such a forest; `forward` runs a batch; `spelling` settles
whether greedy decoding writes an answer with other tokens than ours; `precision` decides between
bfloat16 and float32.
"""
