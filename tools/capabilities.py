"""The tables of docs/capabilities.md, written from the capability tables of the contract by tools/readme.py."""

from collections.abc import Iterable

from pydantic.alias_generators import to_camel

from tunewright_contract.capabilities.data_formats import DATA_FORMATS
from tunewright_contract.capabilities.execution_providers import EXECUTION_PROVIDERS
from tunewright_contract.capabilities.methods import METHODS
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS, QUANTIZATIONS, TRAINING_PRECISIONS
from tunewright_contract.capabilities.table import Row
from tunewright_contract.capabilities.tasks import TASKS, tasks_of
from tunewright_contract.capabilities.tuners import LORA_STARTS, TUNERS, Tuner

INTRODUCTION = """# Capabilities

The tables list each name that a manifest can hold for a task, a tuner, a data format and so on. Admission refuses a name without ✓ under
*works*, with the error "not supported yet".

`make readme` generates the tables from `operator/src/tunewright_contract/capabilities` ([ADR 15](adr/0015-capability-tables.md)).
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *(f"## {title}\n\n{table}" for title, table in _sections())])


def _sections() -> Iterable[tuple[str, str]]:
    yield (
        "Tasks: `spec.task`",
        _table(
            (
                "task",
                "works",
                "transformers class",
                "PEFT task type",
                "data formats",
                "metrics beside `loss`",
                "exported graph",
                "server routes",
            ),
            (
                (
                    *(_name(row), _works(row), _code(row.auto_class), _code(row.peft_task_type), _codes(row.formats), _codes(row.metrics)),
                    *(row.graph.replace("_", " "), _codes(row.routes)),
                )
                for row in TASKS.values()
            ),
        ),
    )
    yield (
        "Data formats: `spec.data.*[].format`",
        _table(
            ("format", "works", "columns", "tasks"),
            ((_name(row), _works(row), _codes(row.columns), _codes(tasks_of(row.name))) for row in DATA_FORMATS.values()),
        ),
    )
    yield (
        "Methods: `spec.method.type`",
        _table(
            ("method", "works", "TRL class", "packing", "reference model"),
            (
                (_name(row), _works(row), _code(row.trainer_class), _yes(row.packable), _yes(row.reference_model))
                for row in METHODS.values()
            ),
        ),
    )
    yield (
        "Tuners: `spec.method.tuner`",
        _table(
            (
                "tuner",
                "works",
                "PEFT type",
                "settings under `method`",
                "in the exported graph",
                "quantised base",
                "ZeRO stages",
                "learning rate",
            ),
            (
                (
                    *(_name(row), _works(row), _code(row.peft_type), _code(to_camel(row.settings or "")), _exported(row)),
                    *(_yes(row.quantizable), _stages(row.zero_stages), f"{row.learning_rate:g}"),
                )
                for row in TUNERS.values()
            ),
        ),
    )
    yield (
        "Starts of a LoRA adapter: `spec.method.lora.initLoraWeights`",
        _table(
            ("start", "works", "quantised base", "ZeRO stages"),
            ((_name(row), _works(row), _yes(row.on_quantized), _stages(row.zero_stages)) for row in LORA_STARTS.values()),
        ),
    )
    yield (
        "Quantisation of the base: `spec.method.quantization.type`",
        _table(
            ("type", "works", "bits per weight", "with `doubleQuant`", "ZeRO stages that `Auto` chooses"),
            (
                (_name(row), _works(row), _number(row.bits), _number(row.double_quant_bits), _stages(row.zero_stages))
                for row in QUANTIZATIONS.values()
            ),
        ),
    )
    yield (
        "Optimizers: `spec.training.optim`",
        _table(
            (
                "optimizer",
                "works",
                "state, bytes per trained parameter",
                "needs an accelerator",
                "DeepSpeed",
                "another number of workers under ZeRO",
            ),
            (
                (_name(row), _works(row), f"{row.state_bytes:g}", _yes(row.needs_accelerator), _yes(row.deepspeed), _yes(row.convertible))
                for row in OPTIMIZERS.values()
            ),
        ),
    )
    yield (
        "Precision of training: `spec.training.precision`",
        _table(
            ("precision", "works", "bytes", "needs an accelerator"),
            ((_name(row), _works(row), str(row.bytes), _yes(row.needs_accelerator)) for row in TRAINING_PRECISIONS.values()),
        ),
    )
    yield (
        "Precision of the exported weights: `spec.output.onnx.precision`",
        _table(
            ("precision", "works", "bits of a weight"),
            ((_name(row), _works(row), ", ".join(map(str, row.widths)) or "32") for row in EXPORT_PRECISIONS.values()),
        ),
    )
    yield (
        "Execution providers: `spec.serving.executionProviders`",
        _table(
            ("provider", "works", "ONNX Runtime's name", "in the server image", "device"),
            (
                (_name(row), _works(row), _code(row.onnxruntime), _yes(row.in_server_image), _code(row.device))
                for row in EXECUTION_PROVIDERS.values()
            ),
        ),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" if line is not lines[1] else "|---" * len(head) + "|" for line in lines) + "\n"


def _name(row: Row) -> str:
    return f"`{row.name}`"


def _works(row: Row) -> str:
    return _yes(row.supported)


def _yes(fact: bool) -> str:
    return "✓" if fact else ""


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(_code, texts))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _stages(stages: tuple[int, ...]) -> str:
    return ", ".join(map(str, stages))


def _exported(row: Tuner) -> str:
    return "merged" if row.adapts and row.mergeable else "virtual tokens" if row.virtual_tokens else "trained weights"
