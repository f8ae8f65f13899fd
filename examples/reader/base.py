"""Makes the base of the question answering example: the configuration of a small BERT, and a tokenizer of whole words. No weights.

`python examples/generate.py` writes `model/` next to this file; the same bytes every time. The job trains it from random weights
(`model.fromScratch`), so it learns the example's questions and no English. For contexts of your own, start from a trained encoder, such as
BERT.
"""

import json

from reader.questions import every_text
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
CONFIG = {
    "architectures": ["BertForQuestionAnswering"],
    "model_type": "bert",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    "model_max_length": 64,
    **{f"{name}_token": token for name, token in zip(("pad", "unk", "cls", "sep"), SPECIALS, strict=True)},
}


def words() -> list[str]:
    """Every word of the example's questions and contexts, in lower case."""
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str(" ".join(every_text()).lower())
    return sorted({piece for piece, _ in pieces})


def tokenizer() -> Tokenizer:
    """`[CLS] question [SEP] context [SEP]`, as BERT's."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate([*SPECIALS, *words()])}, unk_token=SPECIALS[1]))
    made.add_special_tokens(list(SPECIALS))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.decoder = decoders.WordPiece(prefix="##")
    return made


def files() -> dict[str, str]:
    """The name and the text of every file of the folder."""
    made = tokenizer()
    configs = {
        "config.json": {**CONFIG, "vocab_size": made.get_vocab_size()},
        "tokenizer_config.json": TOKENIZER_CONFIG,
    }
    return {"tokenizer.json": made.to_str(pretty=True), **{name: json.dumps(config, indent=2) + "\n" for name, config in configs.items()}}
