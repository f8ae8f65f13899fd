"""FineTuneJobs as they are stored, and the statuses that the operator leaves in them."""

from pathlib import Path
from typing import Any

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart.yaml"
REVISION = "3f9a1c2b00"


def make_raw(name: str = "support-bot", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tunewright.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "task": "ChatCompletion",
            "model": {"source": {"path": "base"}},
            "data": {"train": [{"source": {"path": "chat.jsonl"}}]},
            "workers": {"replicas": 2},
            "serving": {"replicas": 1},
            **spec,
        },
    }


def a_condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T12:00:00Z"}


TRAINING = {
    "phase": "Training",
    "reason": "Running",
    "message": "train is running",
    "revision": REVISION,
    "observedGeneration": 1,
    "conditions": [a_condition("Ready", "False", "Running"), a_condition("Reconciling", "True", "Running", "train is running")],
    "plan": {"zeroStage": 2, "worldSize": 2, "estimatedBytesPerRank": 52428800, "why": "ZeRO-2 as asked"},
    "progress": {
        "step": 30,
        "maxSteps": 120,
        "progressPercentage": 25,
        "loss": "2.51",
        "tokensPerSecond": "1234.5",
        "estimatedRemainingSeconds": 125,
    },
    "warnings": ["2 of 3000 examples are longer than maxLength"],
}
SERVING = {
    **TRAINING,
    "phase": "Serving",
    "reason": "Serving",
    "message": "the model answers at http://127.0.0.1:20001",
    "conditions": [a_condition("Ready", "True", "Serving", "the model answers")],
    "progress": {"step": 120, "maxSteps": 120, "progressPercentage": 100, "loss": "1.4"},
    "serving": {"url": "http://127.0.0.1:20001", "readyReplicas": 1, "revision": REVISION},
    "evaluation": {
        "base": {"loss": "3.2", "tokenAccuracy": "0.31", "samples": 50},
        "tuned": {"loss": "1.31", "tokenAccuracy": "0.7", "exactMatch": "0.42", "samples": 50},
    },
    "artifacts": [
        {
            "uri": f"pvc://support-bot-output/models/support-bot/{REVISION}",
            "digest": "sha256:" + "cd" * 32,
            "precision": "int8",
            "bytes": 7864320,
            "parity": {"maxLogitDifference": "0.012", "meanKl": "0.0000015", "top1Agreement": "0.998", "positions": 512},
        }
    ],
}
FAILED = {
    "phase": "Failed",
    "reason": "BadData",
    "message": "chat.jsonl, line 3: not JSON",
    "conditions": [a_condition("Stalled", "True", "BadData", "chat.jsonl, line 3: not JSON")],
    "failure": {"stage": "check", "reason": "BadData", "message": "chat.jsonl, line 3: not JSON", "suggestion": "correct the line"},
}
