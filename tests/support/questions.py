"""A question, a context, and small tokenizers as those of BERT, RoBERTa and decoders."""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["the", "box", "of", "nails", "screws", "and", "where", "is", "oak", "plank", "##s", "a", "##b", "##c"]
CONTEXT = "The box of nails and screws is beside oaks and planks of oak, and a plank abc of the box is oak. " * 3
QUESTION = "Where is the box of oak planks?"


def word_pieces() -> Tokenizer:
    """As BERT's: `[CLS] question [SEP] context [SEP]`, with token types, lower case."""
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


def bytes_(post_processor: object | None = None) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", *alphabet, "ox", "of", "Ġo", "Ġof", "an"])}
    merges = [("o", "x"), ("o", "f"), ("Ġ", "o"), ("Ġo", "f"), ("a", "n")]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if post_processor is not None:
        made.post_processor = post_processor
    return made
