"""Tiny base models made from a configuration, with a real tokenizer and chat template, and PEFT adapters that do something.

Everything is seeded: the same call makes the same bytes. A model has about 100,000 parameters and random weights.
"""

from pathlib import Path
from typing import Any

from lazily import lazily
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

peft = lazily("peft")
torch = lazily("torch")
transformers = lazily("transformers")

SPECIALS = ("<|pad|>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
PAD_ID, EOS_ID, END_ID = 0, 1, 5
VOCAB_SIZE = 288  # 6 special tokens, 256 bytes, and some rows that no text reaches

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tokenizer() -> "transformers.PreTrainedTokenizerFast":
    """One token per byte: any text can be read, and the ids are known without looking."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIALS, *alphabet])}
    bytewise = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        pad_token="<|pad|>",
        eos_token="<|endoftext|>",
        model_max_length=256,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def phi3(**changes: Any) -> "transformers.PreTrainedModel":
    """Build a Phi-3 with grouped keys and values; `rope_parameters` and `original_max_position_embeddings` make it a LongRoPE one."""
    settings = {"max_position_embeddings": 256, "original_max_position_embeddings": 256, "num_key_value_heads": 2, "sliding_window": None}
    return _seeded(transformers.Phi3ForCausalLM, transformers.Phi3Config(**{**_shape(), **settings, **changes}))


def llama(**changes: Any) -> "transformers.PreTrainedModel":
    """Build a Llama, by default with tied embeddings: the case in which a tuned head can get lost."""
    settings = {"max_position_embeddings": 256, "num_key_value_heads": 2, "tie_word_embeddings": True}
    return _seeded(transformers.LlamaForCausalLM, transformers.LlamaConfig(**{**_shape(), **settings, **changes}))


def gpt2(**changes: Any) -> "transformers.PreTrainedModel":
    """Build a GPT-2: an architecture that the ONNX Runtime GenAI builder does not know."""
    shape = {"vocab_size": VOCAB_SIZE, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256, "bos_token_id": EOS_ID}
    return _seeded(
        transformers.GPT2LMHeadModel, transformers.GPT2Config(**{**shape, "eos_token_id": EOS_ID, "pad_token_id": PAD_ID, **changes})
    )


def _shape() -> dict[str, Any]:
    return {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "pad_token_id": PAD_ID,
        "bos_token_id": EOS_ID,
        "eos_token_id": EOS_ID,
        "initializer_range": 0.2,  # wide enough that the most likely token is rarely a near tie
    }


def _seeded(architecture: "type[transformers.PreTrainedModel]", config: Any) -> "transformers.PreTrainedModel":
    torch.manual_seed(0)
    model = architecture(config).eval()
    model.generation_config.eos_token_id = [EOS_ID, END_ID]
    return model


def save_base(model: "transformers.PreTrainedModel", folder: Path) -> Path:
    """Write model, tokenizer and template the way a base model is found: safetensors and JSON."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def save_adapter(base: Path, folder: Path, *, seed: int = 1, strength: float = 0.05, **lora: Any) -> dict[str, Any]:
    """Write a PEFT adapter as if it had been trained: no matrix is zero, and DoRA's magnitudes have moved.

    Returns the arguments of `peft.LoraConfig`, as the job's configuration would hold them.
    """
    arguments = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **lora}
    model = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), peft.LoraConfig(**arguments))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_magnitude_vector" in name:
                parameter.mul_(1 + 0.3 * torch.rand(parameter.shape, generator=generator))
            elif parameter.requires_grad:
                parameter.add_(strength * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    return arguments


def tuned(base: Path, *, seed: int = 2, strength: float = 0.05) -> "transformers.PreTrainedModel":
    """Load a base and move every weight a little, as a full fine-tuning would."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(strength * torch.randn(parameter.shape, generator=generator))
    return model
