"""The small base model that the repository ships: its size, its tokenizer, its chat template, and that it answers."""

import json
import re

import pytest
from safetensors import safe_open

pytestmark = pytest.mark.slow  # transformers alone takes seconds to import

QUESTION = {"role": "user", "content": "What is a latte?"}
ANSWER = {"role": "assistant", "content": "Coffee with milk."}


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(scope="module")
def model(model_folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(model_folder, dtype="auto")


@pytest.fixture(scope="module")
def answer(model, tokenizer):
    """Return the model's greedy answer to one message."""

    def ask(question: str) -> str:
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        out = model.generate(**asked, max_new_tokens=40, do_sample=False)
        return tokenizer.decode(out[0, asked["input_ids"].shape[1] :])

    return ask


def test_the_weights_are_bf16_safetensors_of_at_most_10_MB(model_folder):
    weights = model_folder / "model.safetensors"
    assert weights.stat().st_size <= 10_000_000
    with safe_open(weights, framework="np") as tensors:
        assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"BF16"}  # noqa: SIM118  not a dict


def test_it_is_a_phi3_with_grouped_queries_tied_embeddings_and_a_head_of_64(model):
    config = model.config
    assert (config.model_type, config.tie_word_embeddings, config.max_position_embeddings) == ("phi3", True, 1024)
    assert config.hidden_size // config.num_attention_heads == 64
    assert config.num_attention_heads % config.num_key_value_heads == 0
    assert config.num_key_value_heads < config.num_attention_heads


def test_pad_and_eos_differ_and_are_the_same_in_all_files(model, tokenizer):
    ids = {"eos": tokenizer.convert_tokens_to_ids("<|end|>"), "pad": tokenizer.convert_tokens_to_ids("<|pad|>")}
    assert ids["eos"] != ids["pad"]
    for config in (model.config, model.generation_config):
        assert {"eos": config.eos_token_id, "pad": config.pad_token_id} == ids
    assert {"eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id} == ids
    assert len(tokenizer) == model.config.vocab_size


def test_a_dialogue_renders_like_phi3s(tokenizer):
    expected = "<|system|>\nBe brief.<|end|>\n<|user|>\nWhat is a latte?<|end|>\n<|assistant|>\nCoffee with milk.<|end|>\n"
    assert tokenizer.apply_chat_template([{"role": "system", "content": "Be brief."}, QUESTION, ANSWER], tokenize=False) == expected


def test_a_question_ends_with_the_generation_prompt(tokenizer):
    expected = "<|user|>\nWhat is a latte?<|end|>\n<|assistant|>\n"
    assert tokenizer.apply_chat_template([QUESTION], tokenize=False, add_generation_prompt=True) == expected


def test_the_template_refuses_an_unknown_role(tokenizer):
    with pytest.raises(Exception, match="Unknown role tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "42"}], tokenize=False)


def test_exactly_the_answers_with_their_end_marks_are_supervised(tokenizer):
    encoded = tokenizer.apply_chat_template(
        [QUESTION, ANSWER, QUESTION, ANSWER], return_dict=True, return_assistant_tokens_mask=True, tokenize=True
    )
    learned = [token for token, said in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if said]
    assert tokenizer.decode(learned) == "Coffee with milk.<|end|>" * 2


@pytest.mark.parametrize("text", ["naïve café, 東京 ☕", "tabs\tand\nlines", "007 12,50 €", "  leading and trailing  "])
def test_any_text_is_equal_after_encoding_and_decoding(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_every_word_a_ticket_copies_is_one_or_two_tokens(tokenizer, support):
    """Copying is learned word by word; a word in many pieces would be a task of its own."""
    words = {word for part in support.values() for messages in part for word in re.findall(r"[A-Za-z]+", messages[0]["content"])}
    assert {word for word in words if len(tokenizer.tokenize(f" {word}")) > 2} == set()


def test_it_stops_and_answers_small_talk_in_whole_sentences(answer):
    for question in ("Hello!", "How are you?", "Thank you!"):
        assert re.fullmatch(r"[A-Z][^|]*[.!?]<\|end\|>", answer(question))


def test_the_base_model_uses_cafe_words_but_writes_no_ticket(answer):
    said = answer("Can I get two large oat lattes to go, please?")
    assert "latte" in said
    assert "ORDER" not in said


def test_the_model_card_names_the_public_text_and_its_licence(model_folder):
    card = (model_folder / "README.md").read_text(encoding="utf-8")
    assert "google-research-datasets/Taskmaster" in card
    assert "CC BY 4.0" in card


def test_the_folder_has_no_pickle_and_needs_no_remote_code(model_folder):
    assert {path.suffix for path in model_folder.iterdir()} <= {".json", ".safetensors", ".jinja", ".md"}
    assert "auto_map" not in json.loads((model_folder / "config.json").read_text())
