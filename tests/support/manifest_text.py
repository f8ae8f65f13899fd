"""The beginning of a manifest as text, which is a whole one by itself; tests write the rest behind it."""

HEAD = """\
apiVersion: tunewright.io/v1alpha1
kind: FineTuneJob
metadata: {name: support-bot}
spec:
  task: ChatCompletion
  model: {source: {path: base}}
  data:
    train:
      - source: {path: chat.jsonl}
"""
