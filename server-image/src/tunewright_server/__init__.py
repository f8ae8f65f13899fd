"""The Tunewright server: exported models behind the OpenAI API, on plain ONNX Runtime.

`python -m tunewright_server` serves the model folder that `TUNEWRIGHT_MODEL_DIR` names, or the folders of `TUNEWRIGHT_MODEL_DIRS`.
Everything is configured by the environment variables of `tunewright_contract.environment`; there are no flags and no configuration file.

    settings ──> model_folder ──> graph_kinds ──> machine, capacity ──> text (tokenizer, chat template)
                                                                    └─> engine (one thread for each model)
                                                                          └─> registry <── http (OpenAI, health, metrics)

`graph_kinds` is the table: the kind of graph in a model's manifest selects how it is loaded and run, and which routes answer for it.

What it promises:
- A text is classified by itself: what else runs with it changes no bit of its answer.
- Requests are decoded together (continuous batching); a greedy answer is token for token what torch's `generate` would give,
  and a seeded answer does not depend on other requests.
- An unsupported OpenAI parameter that would change the answer is refused by name, not ignored.
- A prompt is never truncated: a request that does not fit is refused with `context_length_exceeded`.
- After SIGTERM it is unready at once, refuses new work with 503 and Retry-After, and finishes open requests.
- Prompts and answers appear in no log line.

What it refuses to start on (exit codes 64 and 65, with a `Failure` in the termination message): a folder that is missing, has no
readable manifest, or differs from it by one byte; an execution provider that is not there; a port in use; a cache that does not fit.

Its dependencies are onnxruntime, tokenizers, jinja2, numpy, starlette, uvicorn, prometheus-client and pydantic: 166 MB
installed with what they bring, and neither torch nor transformers among them.
"""
