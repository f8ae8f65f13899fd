"""Adapters beside new heads: the head is trained whole, whatever the architecture calls it, and inputs reach the base."""

import pytest
from lazily import lazily

from tunewright_trainer.tuning.adapters import beside_head

peft = lazily("peft")
torch = lazily("torch")
transformers = lazily("transformers")

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 64,
}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "cls_token_id": 1, "sep_token_id": 1}
HEADS = {
    "BERT, question answering": ("bert", "AutoModelForQuestionAnswering", "QUESTION_ANS", {"qa_outputs"}),
    "ModernBERT, question answering": ("modernbert", "AutoModelForQuestionAnswering", "QUESTION_ANS", {"head", "classifier"}),
    "Llama, question answering": ("llama", "AutoModelForQuestionAnswering", "QUESTION_ANS", {"qa_outputs"}),
    "BERT, tokens": ("bert", "AutoModelForTokenClassification", "TOKEN_CLS", {"classifier"}),
    "ModernBERT, texts": ("modernbert", "AutoModelForSequenceClassification", "SEQ_CLS", {"head", "classifier"}),
    "Llama, texts": ("llama", "AutoModelForSequenceClassification", "SEQ_CLS", {"score"}),
}


def adapter(tuner: str, task_type: str, **settings: object) -> "peft.PeftConfig":
    lists = {"feedforward_modules": []} if tuner == "IA3" else {}
    return peft.get_peft_config({"peft_type": tuner, "task_type": task_type, "target_modules": "all-linear", **lists, **settings})


@pytest.mark.parametrize("tuner", ["LORA", "IA3"])
@pytest.mark.parametrize("case", HEADS)
def test_a_new_head_is_trained_whole_and_nothing_in_it_is_adapted(case: str, tuner: str) -> None:
    family, auto, task_type, heads = HEADS[case]
    model = getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(family, **SHAPE, **TOKENS))
    names = {name for name, _ in model.named_parameters() if name.split(".")[0] in heads}

    adapted = peft.get_peft_model(model, beside_head(adapter(tuner, task_type), model))

    trained = [name.removeprefix("base_model.model.") for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert {name.replace("modules_to_save.default.", "") for name in trained if "modules_to_save" in name} == names
    assert [name for name in trained if name.split(".")[0] not in heads]
    assert not [name for name in trained if name.split(".")[0] in heads and ("lora" in name or "ia3" in name)]


@pytest.mark.parametrize("excluded", [["query"], r".*\.query"])
def test_excluded_modules_of_the_job_stay_excluded(excluded: object) -> None:
    model = transformers.AutoModelForQuestionAnswering.from_config(transformers.AutoConfig.for_model("bert", **SHAPE, **TOKENS))
    adapted = peft.get_peft_model(model, beside_head(adapter("LORA", "QUESTION_ANS", exclude_modules=excluded), model))
    adapters = [name for name, _ in adapted.named_parameters() if "lora" in name]
    assert [name for name in adapters if "key" in name]
    assert not [name for name in adapters if "query" in name or "qa_outputs" in name]


def test_token_types_reach_the_base_beside_an_adapter() -> None:
    model = transformers.AutoModelForQuestionAnswering.from_config(transformers.AutoConfig.for_model("bert", **SHAPE, **TOKENS)).eval()
    adapted = peft.get_peft_model(model, beside_head(adapter("LORA", "QUESTION_ANS"), model)).eval()
    ids = torch.arange(2, 10)[None]
    first, second = (adapted(input_ids=ids, token_type_ids=torch.full_like(ids, kind)).start_logits for kind in (0, 1))
    assert not torch.equal(first, second)
