"""`task`: the purpose of a model. A row fixes the model's head, the shape of the examples, the exported graph and the server's routes.

Sources: transformers' auto classes, peft.TaskType, Azure ML's metrics per task.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from tunewright_contract.capabilities.data_formats import (
    LABELED_TEXT,
    MESSAGES,
    MULTI_LABEL_TEXT,
    PROMPT_COMPLETION,
    SQUAD,
    TAGGED_WORDS,
    TEXT,
)
from tunewright_contract.capabilities.table import OneOf, Row, Table

GraphKind = Literal["decoder", "encoder", "sequence_to_sequence"]
HeadKind = Literal["sequence_classification", "token_classification", "question_answering"]  # of an encoder's graph
ProblemType = Literal["single_label_classification", "multi_label_classification"]  # of transformers
ONE_LABEL: ProblemType = "single_label_classification"  # one cross entropy over all labels
SEVERAL_LABELS: ProblemType = "multi_label_classification"  # a binary cross entropy for each label
SEQUENCE_TO_SEQUENCE: GraphKind = "sequence_to_sequence"
ENCODER: GraphKind = "encoder"  # reads a whole text in one run, and generates nothing
QUESTION_ROUTES = ("/question-answering", "/v1/question-answering")  # named after the pipeline of transformers
TAG_ROUTES = ("/token-classification", "/v1/token-classification")  # after the task's name at Hugging Face
CLASSIFY_ROUTES = ("/classify", "/v1/classify")  # the route of vLLM, and the one of SGLang and Dynamo


@dataclass(frozen=True, kw_only=True)
class Task(Row):
    """`metrics` can choose the best model, like `loss`, which every task has. `formats` are names of `DATA_FORMATS`."""

    auto_class: str  # of transformers
    peft_task_type: str  # of peft.TaskType
    formats: tuple[str, ...] = ()
    metrics: tuple[str, ...]
    metrics_of_answers: bool = False  # they are measured on texts that the model generates
    recipe: str  # the trainer's module under recipes/
    graph: GraphKind
    head: HeadKind | None = None  # of an encoder
    problem_type: ProblemType | None = None  # of a sequence classifier
    routes: tuple[str, ...] = ()  # of the server
    needs_chat_template: bool = False  # its examples and requests are conversations
    trl: bool = False  # trained by TRL, whose arguments are more than transformers.TrainingArguments
    smooths_labels: bool = True  # `training.labelSmoothingFactor` has an effect on its loss
    windows: bool = False  # reads a long text in windows that overlap, instead of cutting it
    new_head: bool = False  # a head that the base lacks: it replaces a language model's head, and is trained in full beside an adapter

    @property
    def answers_sources(self) -> bool:
        """Whether its models answer a source with a target, which ends by itself and has a bound of its own."""
        return self.graph == SEQUENCE_TO_SEQUENCE

    @property
    def generates(self) -> bool:
        """Whether its models answer with text of their own, token by token."""
        return self.graph != ENCODER


CHAT_COMPLETION = Task(
    name="ChatCompletion",
    auto_class="AutoModelForCausalLM",
    peft_task_type="CAUSAL_LM",
    formats=(MESSAGES.name, PROMPT_COMPLETION.name),
    metrics=("mean_token_accuracy",),
    recipe="causal_lm",
    trl=True,
    graph="decoder",
    routes=("/v1/chat/completions", "/v1/completions"),
    needs_chat_template=True,
)
TEXT_GENERATION = Task(
    name="TextGeneration",
    auto_class="AutoModelForCausalLM",
    peft_task_type="CAUSAL_LM",
    formats=(PROMPT_COMPLETION.name, TEXT.name),
    metrics=("mean_token_accuracy", "perplexity"),
    recipe="causal_lm",
    trl=True,
    graph="decoder",
    routes=("/v1/completions",),
)

TASKS = Table(
    CHAT_COMPLETION,
    TEXT_GENERATION,
    Task(
        name="SingleLabelClassification",
        auto_class="AutoModelForSequenceClassification",
        peft_task_type="SEQ_CLS",
        formats=(LABELED_TEXT.name,),
        metrics=("accuracy", "f1_macro", "mcc", "precision_macro", "recall_macro"),
        recipe="sequence_classification",
        problem_type=ONE_LABEL,
        new_head=True,
        graph="encoder",
        head="sequence_classification",
        routes=CLASSIFY_ROUTES,
    ),
    Task(
        name="MultiLabelClassification",
        auto_class="AutoModelForSequenceClassification",
        peft_task_type="SEQ_CLS",
        formats=(MULTI_LABEL_TEXT.name,),
        metrics=("f1_micro", "f1_macro", "accuracy", "precision_macro", "recall_macro"),
        recipe="sequence_classification",
        problem_type=SEVERAL_LABELS,
        smooths_labels=False,
        new_head=True,
        graph="encoder",
        head="sequence_classification",
        routes=CLASSIFY_ROUTES,
    ),
    Task(
        name="NamedEntityRecognition",
        auto_class="AutoModelForTokenClassification",
        peft_task_type="TOKEN_CLS",
        formats=(TAGGED_WORDS.name,),
        metrics=("f1", "accuracy", "precision", "recall"),
        recipe="token_classification",
        new_head=True,
        graph="encoder",
        head="token_classification",
        routes=TAG_ROUTES,
    ),
    Task(
        name="QuestionAnswering",
        auto_class="AutoModelForQuestionAnswering",
        peft_task_type="QUESTION_ANS",
        formats=(SQUAD.name,),
        metrics=("f1", "exact"),
        recipe="question_answering",
        smooths_labels=False,
        windows=True,
        new_head=True,
        graph="encoder",
        head="question_answering",
        routes=QUESTION_ROUTES,
    ),
    Task(
        name="Translation",
        auto_class="AutoModelForSeq2SeqLM",
        peft_task_type="SEQ_2_SEQ_LM",
        formats=(PROMPT_COMPLETION.name,),
        metrics=("bleu", "chrf"),
        metrics_of_answers=True,
        recipe="sequence_to_sequence",
        graph=SEQUENCE_TO_SEQUENCE,
        routes=("/v1/completions",),
    ),
    Task(
        name="Summarization",
        auto_class="AutoModelForSeq2SeqLM",
        peft_task_type="SEQ_2_SEQ_LM",
        formats=(PROMPT_COMPLETION.name,),
        metrics_of_answers=True,
        metrics=("rouge1", "rouge2", "rougeL", "rougeLsum"),
        recipe="sequence_to_sequence",
        graph=SEQUENCE_TO_SEQUENCE,
        routes=("/v1/completions",),
    ),
)

TaskName = Annotated[str, OneOf(TASKS.names)]
SupportedTask = Annotated[str, OneOf(TASKS.supported)]


def tasks_of(data_format: str) -> tuple[str, ...]:
    """Return the tasks that take a data format."""
    return TASKS.where(lambda task: data_format in task.formats)
