"""FineTuneJob → TrainerConfig: the one file that check, train and export read, with the libraries' own arguments."""

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.library_arguments import adapter_arguments, deepspeed_config, quantization_arguments, training_arguments
from tunewright.plan.memory.estimate import Strategy
from tunewright.plan.resize import Shares
from tunewright.plan.storage import DataFiles, ModelOrigin
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.trainer_config import (
    DataConfig,
    EvaluationConfig,
    ExportConfig,
    JobIdentity,
    MethodConfig,
    ModelConfig,
    ParityConfig,
    TrainerConfig,
)


def trainer_config(
    job: FineTuneJob, *, revision: str, origin: ModelOrigin, files: DataFiles, strategy: Strategy, shares: Shares
) -> TrainerConfig:
    """Return the whole instruction for the job's pods."""
    spec, meta = job.spec, job.metadata
    parity = spec.output.onnx.parity
    return TrainerConfig(
        job=JobIdentity(namespace=meta.namespace, name=meta.name, uid=meta.uid, revision=revision),
        task=spec.task,
        model=_model(job, origin),
        data=_data(job, files),
        method=_method(job, strategy),
        training={
            **training_arguments(spec, stage=strategy.stage),
            "per_device_train_batch_size": shares.per_device,
            "gradient_accumulation_steps": shares.passes,
        },
        deepspeed=deepspeed_config(spec.deepspeed, strategy, on_accelerator=spec.workers.accelerators > 0),
        world_size=spec.world_size,
        export=ExportConfig(
            precision=spec.output.onnx.precision,
            parity=ParityConfig(
                max_logit_difference=parity.max_logit_difference, min_top1_agreement=parity.min_top1_agreement, prompts=parity.prompts
            ),
        ),
        evaluation=EvaluationConfig(
            max_samples=spec.evaluation.max_samples,
            generate_samples=spec.evaluation.generate_samples,
            max_new_tokens=spec.evaluation.max_new_tokens,
        ),
    )


def _model(job: FineTuneJob, origin: ModelOrigin) -> ModelConfig:
    model = job.spec.model
    return ModelConfig(
        hub=origin.hub,
        dtype=model.dtype,
        attn_implementation=model.attn_implementation,
        trust_remote_code=model.trust_remote_code,
        from_scratch=model.from_scratch,
        chat_template=model.chat_template.jinja if model.chat_template else None,
    )


def _data(job: FineTuneJob, files: DataFiles) -> DataConfig:
    data = job.spec.data
    return DataConfig(
        train=list(files.train),
        validation=list(files.validation),
        test=list(files.test),
        val_set_size=data.validation_share(),
        max_length=data.max_length,
        doc_stride=data.window_overlap() if TASKS[job.spec.task].windows else None,
        overlong_policy=data.overlong_policy,
        shuffle_seed=data.shuffle_seed,
        min_samples=data.min_samples,
        dedup=data.dedup,
    )


def _method(job: FineTuneJob, strategy: Strategy) -> MethodConfig:
    method = job.spec.method
    quantization = quantization_arguments(job.spec, stage=strategy.stage)
    return MethodConfig(type=method.type, tuner=method.tuner, quantization=quantization, **adapter_arguments(job.spec))
