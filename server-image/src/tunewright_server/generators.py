"""What models that generate text have in common, whether they continue a prompt or answer a source."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.generation_config import GenerationConfigError, GenerationDefaults, generation_defaults_in
from tunewright_server.capacity import CacheCapacity
from tunewright_server.engine.decoder import Decoder
from tunewright_server.engine.loop import Engine
from tunewright_server.metrics import GeneratorMetrics
from tunewright_server.refusal import RefusalError
from tunewright_server.served import ServedModel
from tunewright_server.settings import ServerSettings
from tunewright_server.text.tokenizer import TextTokenizer

QUEUED_PER_SLOT = 16  # answers that may wait; further requests get an error, so that clients retry
QUEUED_CACHES = 8  # tokens that may wait (prompts and answers), as a multiple of the cache's tokens


@dataclass(frozen=True, kw_only=True)
class ServedGenerator(ServedModel):
    """Generates text."""

    continues_prompts: ClassVar[bool] = True  # an answer is more of its prompt's text

    engine: Engine
    defaults: GenerationDefaults  # for parameters that a request does not set
    capacity: CacheCapacity
    metrics: GeneratorMetrics

    @property
    def facts(self) -> dict[str, object]:
        return {**super().facts, "slots": self.capacity.slots, "cacheBytes": self.capacity.cache_bytes}

    @property
    def description(self) -> dict[str, object]:
        sampling = self.defaults.model_dump(exclude={"eos_token_ids", "departures"}, by_alias=False, exclude_none=True)
        return {"default_sampling_params": sampling}


def engine_over(
    decoder: Decoder, tokenizer: TextTokenizer, settings: ServerSettings, capacity: CacheCapacity, *, long_rope_switch: int | None = None
) -> Engine:
    """Return the loop over a decoder, with a queue in proportion to its cache. It is not started."""
    return Engine(
        decoder,
        tokenizer.decode,
        long_rope_switch=long_rope_switch,
        queue_limit=QUEUED_PER_SLOT * capacity.slots,
        queue_tokens=QUEUED_CACHES * capacity.slots * capacity.lengths.total,
        queue_seconds=settings.queue_seconds,
    )


def generation_defaults(folder: Path, *, encoder: bool = False) -> GenerationDefaults:
    """Return the defaults of a request's parameters. `encoder`: the model has one. Raises `RefusalError` (65)."""
    try:
        return generation_defaults_in(folder, encoder=encoder)
    except GenerationConfigError as error:
        raise RefusalError("GenerationConfigInvalid", str(error), suggestion=error.way_out.rstrip("."), exit_code=ExitCode.DATA) from error
