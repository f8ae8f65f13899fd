"""Export any Hugging Face decoder with `torch.onnx.export(dynamo=True)` as a `dynamic_cache` graph (see `tunewright_contract.model_manifest`)."""

from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache


class _FlatCache(torch.nn.Module):
    """The model with its cache as flat tensors: ONNX knows no objects."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        answer = self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache, use_cache=True
        )
        return (answer.logits, *(tensor for layer in answer.past_key_values.layers for tensor in (layer.keys, layer.values)))


def export_dynamic_cache(model: PreTrainedModel, target: Path) -> None:
    """Write the graph to `target`, traced with batch 2, past 5 and 3 new tokens."""
    with torch.no_grad():
        layers = model(input_ids=torch.ones(2, 5, dtype=torch.long), use_cache=True).past_key_values.layers
        past = tuple(tensor for layer in layers for tensor in (layer.keys, layer.values))
        ids = torch.ones(2, 3, dtype=torch.long)
        mask = torch.ones(2, 8, dtype=torch.long)
        positions = torch.arange(5, 8)[None].repeat(2, 1)
        dynamic = torch.export.Dim.DYNAMIC
        names = [f"{layer}.{part}" for layer in range(len(layers)) for part in ("key", "value")]
        tokens = {0: dynamic, 1: dynamic}
        torch.onnx.export(
            _FlatCache(model).eval(),
            (ids, mask, positions, *past),
            str(target),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{name}" for name in names)],
            output_names=["logits", *(f"present.{name}" for name in names)],
            dynamic_shapes=(tokens, tokens, tokens, tuple({0: dynamic, 2: dynamic} for _ in past)),
        )
