"""The Tunewright server: exported models behind the OpenAI API, on plain ONNX Runtime.

`python -m tunewright_server` serves the model folder that `TUNEWRIGHT_MODEL_DIR` names, or the folders of `TUNEWRIGHT_MODEL_DIRS`.
Everything is configured by the environment variables of `tunewright_contract.environment`; there are no flags and no configuration file.

    settings ──> model_folder ──> graph_kinds ──> machine, capacity ──> text (tokenizer, chat template)
                                                                    └─> engine (one thread for each model)
                                                                          └─> registry <── http (OpenAI, health)

`graph_kinds` is the table: the kind of graph in a model's manifest selects how it is loaded and run, and which routes answer for it.

Promises:
- The answer to a text does not depend on other texts in its run, to the last bit.
- Requests are decoded together (continuous batching); a greedy answer has the same tokens as torch's `generate`,
  and a seeded answer does not depend on other requests.
- An unsupported OpenAI parameter that would change the answer is refused by name, not ignored.
- A prompt is never truncated: a request that does not fit is refused with `context_length_exceeded`.
- After SIGTERM it is not ready, answers requests with `Connection: close` until none have come for a second, and then exits.
- Prompts and answers appear in no log line.

It refuses to start (exit codes 64 and 65, with a `Failure` in the termination message) if a folder is missing, has no readable
manifest or differs from it, if an execution provider is missing, if the port is in use, or if the cache does not fit into memory.

Its dependencies are onnxruntime, tokenizers, jinja2, numpy, starlette, uvicorn, prometheus-client and pydantic: 166 MB
installed with what they bring, and neither torch nor transformers among them.
"""
