"""An OpenAI-compatible server that conjugates each request (docs/serve.md).

A request's prompt is put under a transform s, a model answers it, and the answer is undone by s⁻¹
(`dormant.prompts.exchange`). The model is one that runs here, or another OpenAI-compatible server.
"""
