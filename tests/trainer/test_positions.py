"""The longest text that Check allows is one that the base model can read, whatever its family counts as a position."""

import pytest
from lazily import lazily

torch = lazily("torch")
transformers = lazily("transformers")
model_facts = lazily("tunewright_trainer.tuning.model_facts")

POSITIONS, PAD = 40, 1
LONGEST = {  # model_type -> tokens of 40 positions; RoBERTa and its relatives give padding the first two
    "bert": 40,
    "electra": 40,
    "deberta-v2": 40,
    "roberta": 38,
    "xlm-roberta": 38,
    "camembert": 38,
    "mpnet": 38,
}


@pytest.mark.parametrize("model_type", LONGEST)
def test_the_longest_text_fits_the_positions_and_one_more_token_does_not(model_type: str) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
    config = transformers.AutoConfig.for_model(
        model_type, **small, max_position_embeddings=POSITIONS, pad_token_id=PAD, bos_token_id=2, eos_token_id=3
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()

    longest = model_facts.positions(model)

    assert longest == LONGEST[model_type]
    with torch.no_grad():
        model(input_ids=torch.full((1, longest), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, longest + 1), 5))


def test_relative_positions_have_no_bound() -> None:
    config = transformers.T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=20)
    with torch.device("meta"):
        model = transformers.AutoModelForSeq2SeqLM.from_config(config)

    assert model_facts.positions(model) is None
