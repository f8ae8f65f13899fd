"""Makes the base of the examples of translation and summarization: the configuration of a small BART, and a tokenizer of whole words.

`python examples/generate.py` writes `model/` next to this file, without weights; the same bytes every time. The jobs train it from random
weights (`model.fromScratch`), so it learns the examples' sentences and no German. For texts of your own, start from a trained base, such as
T5, BART or Marian.
"""

import json

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from translator.pairs import every_text

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
TOKENS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
CONFIG = {
    "architectures": ["BartForConditionalGeneration"],
    "model_type": "bart",
    "d_model": 64,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "max_position_embeddings": 64,
    "dropout": 0.0,
    "init_std": 0.1,  # a narrow model trained from scratch finds the words of the source much later with the usual 0.02
    "scale_embedding": True,
    "is_encoder_decoder": True,
    "forced_eos_token_id": None,
    **TOKENS,
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_input_names": ["input_ids", "attention_mask"],
    "model_max_length": 64,
    **{f"{name}_token": token for name, token in zip(("bos", "pad", "eos", "unk"), SPECIALS, strict=True)},
}


def words() -> list[str]:
    """Every word of the examples' sources and targets."""
    return sorted({word for text in every_text() for word in text.split() if "{" not in word})


def tokenizer() -> Tokenizer:
    """Words between spaces, and an end token."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate([*SPECIALS, *words()])}, unk_token="<unk>"))  # noqa: S106 - a token
    made.add_special_tokens(list(SPECIALS))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", TOKENS["eos_token_id"])])
    return made


def files() -> dict[str, str]:
    """The name and the text of every file of the folder."""
    made = tokenizer()
    configs = {
        "config.json": {**CONFIG, "vocab_size": made.get_vocab_size()},
        "generation_config.json": TOKENS,
        "tokenizer_config.json": TOKENIZER_CONFIG,
    }
    return {"tokenizer.json": made.to_str(pretty=True), **{name: json.dumps(config, indent=2) + "\n" for name, config in configs.items()}}
