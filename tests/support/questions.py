"""Questions and contexts, small tokenizers as those of BERT, RoBERTa and decoders, and a base that learns to find answers."""

from pathlib import Path
from random import Random
from typing import Any

from lazily import lazily
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

transformers = lazily("transformers")

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


NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo")
GOODS = ("nails", "screws", "paint", "oak", "tape", "glue", "rope", "hinges")
PLACES = ("the blue shed", "aisle four", "the cellar", "aisle nine", "the yard", "room seven")
FILLER = "the shop opens at eight and closes at six on each day of the week . "
ASKED = {"Who keeps the goods ?": 0, "Which goods are kept ?": 1, "Where are the goods kept ?": 2, "When are the goods sold ?": None}


def read_rows(count: int, *, seed: int, filler: int = 1) -> list[dict[str, Any]]:
    """Rows of SQuAD: who keeps what where, between so many sentences that say nothing of it. One question in four has no answer."""
    random = Random(seed)
    rows = []
    for number in range(count):
        facts = random.choice(NAMES), random.choice(GOODS), random.choice(PLACES)
        before, after = (FILLER * random.randint(0, filler) for _ in range(2))
        context = f"{before}{facts[0]} keeps {facts[1]} in {facts[2]} . {after}".strip()
        question, place = random.choice(list(ASKED.items()))
        answers = [] if place is None else [facts[place]]
        starts = [len(before) + context[len(before) :].index(answer) for answer in answers]
        rows.append({"id": str(number), "question": question, "context": context, "answers": {"text": answers, "answer_start": starts}})
    return rows


def save_reader(folder: Path) -> Path:
    """Write a tokenizer of whole words, and the configuration of a small BERT."""
    text = " ".join([FILLER, *NAMES, *GOODS, *PLACES, *ASKED, "keeps in"])
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(text.split()))])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.backend_tokenizer.post_processor = made.post_processor
    fast.save_pretrained(folder)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    transformers.BertConfig(**shape, vocab_size=len(vocabulary), max_position_embeddings=64, pad_token_id=0).save_pretrained(folder)
    return folder
