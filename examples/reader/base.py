"""Makes the base of the question answering example: the configuration of a small BERT, and a tokenizer of whole words. No weights.

    python examples/reader/base.py

writes `model/` next to this file; the same bytes every time. The job trains it from random weights (`model.fromScratch`), so it learns the
example's questions and no English. For contexts of your own, start from a trained encoder, such as BERT.
"""

import argparse
import importlib.util
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = Path(__file__).parent
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
    spec = importlib.util.spec_from_file_location("questions", HERE / "questions.py")
    assert spec is not None
    assert spec.loader is not None
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str(" ".join(data.every_text()).lower())
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


def build(folder: Path) -> None:
    """Write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    for name, content in (
        ("config.json", {**CONFIG, "vocab_size": made.get_vocab_size()}),
        ("tokenizer_config.json", TOKENIZER_CONFIG),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Writes the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE / "model", help="the folder to write (default: model/ here)")
    output: Path = parser.parse_args().output
    build(output)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
