"""Small random encoder-decoders of each family, seeded: the same call makes the same weights. Their tokenizer is `tiny.tokenizer`.

Weights are wide enough that the most likely token is rarely a near tie. The start token of the BART family differs from the padding
token, that of the T5 family and of Marian is the padding token, as in the published bases.
"""

from typing import Any

import tiny
from lazily import lazily

torch = lazily("torch")
transformers = lazily("transformers")

CONTEXT = 128  # tokens of source and target, where positions bound them
HEADS, HEAD_SIZE = 4, 16
_WIDTH = HEADS * HEAD_SIZE
_RELATIVE = {"d_model": _WIDTH, "d_kv": HEAD_SIZE, "d_ff": 2 * _WIDTH, "num_layers": 2, "num_heads": HEADS}
_ABSOLUTE = {
    "d_model": _WIDTH,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 2 * _WIDTH,
    "decoder_ffn_dim": 2 * _WIDTH,
    "max_position_embeddings": CONTEXT,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "t5": {**_RELATIVE, "decoder_start_token_id": tiny.PAD_ID},
    "mt5": {**_RELATIVE, "decoder_start_token_id": tiny.PAD_ID, "tie_word_embeddings": False},
    "bart": {**_ABSOLUTE, "decoder_start_token_id": tiny.EOS_ID},
    "marian": {**_ABSOLUTE, "decoder_start_token_id": tiny.PAD_ID, "decoder_vocab_size": tiny.VOCAB_SIZE},
    "pegasus": {**_ABSOLUTE, "decoder_start_token_id": tiny.PAD_ID},
    "m2m_100": {**_ABSOLUTE, "decoder_start_token_id": tiny.EOS_ID},
}


def encoder_decoder(family: str, **changes: Any) -> "transformers.PreTrainedModel":
    """Build a model of 2 decoder layers in fp32. `changes` are keyword arguments of its configuration."""
    tokens = {"vocab_size": tiny.VOCAB_SIZE, "pad_token_id": tiny.PAD_ID, "eos_token_id": tiny.EOS_ID, "bos_token_id": tiny.EOS_ID}
    config = transformers.AutoConfig.for_model(family, **{**tokens, **FAMILIES[family], **changes})
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.5 / parameter.shape[-1] ** 0.5)
    model.generation_config.forced_eos_token_id = None
    # As in published bases: BART begins with one token, and Marian never generates its start.
    model.generation_config.forced_bos_token_id = tiny.END_ID if family == "bart" else None
    model.generation_config.bad_words_ids = [[tiny.PAD_ID]] if family == "marian" else None
    return model
