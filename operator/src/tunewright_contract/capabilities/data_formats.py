"""`data.*[].format`: the shapes of examples. The rows of `tasks` name the formats that each task takes.

Sources: OpenAI's fine-tuning format for messages, TRL's data set formats for the others.
"""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table


@dataclass(frozen=True, kw_only=True)
class DataFormat(Row):
    """Check recognises a format by its columns: it takes the first row of the table whose columns a row of data has."""

    columns: tuple[str, ...]
    completion: bool | None = None  # whether prompt and answer are separate; None: not decided before it is supported
    turns: bool | None = None  # whether an example has the turns of a conversation; None: the same


MESSAGES = DataFormat(name="messages", columns=("messages",), completion=False, turns=True)
PROMPT_COMPLETION = DataFormat(name="promptCompletion", columns=("prompt", "completion"), completion=True, turns=False)
LABELED_TEXT = DataFormat(name="labeledText", columns=("text", "label"), completion=False, turns=False)
MULTI_LABEL_TEXT = DataFormat(name="multiLabelText", columns=("text", "labels"), completion=False, turns=False)
SQUAD = DataFormat(name="squad", columns=("question", "context", "answers"), completion=False, turns=False)
TAGGED_WORDS = DataFormat(name="taggedWords", columns=("tokens", "ner_tags"), completion=False, turns=False)
TEXT = DataFormat(name="text", columns=("text",), completion=False, turns=False)

DATA_FORMATS = Table(
    MESSAGES,
    DataFormat(name="sharegpt", columns=("conversations",), supported=False),
    DataFormat(name="alpaca", columns=("instruction", "input", "output"), turns=False, supported=False),
    PROMPT_COMPLETION,
    LABELED_TEXT,
    MULTI_LABEL_TEXT,
    SQUAD,
    TAGGED_WORDS,
    TEXT,
    DataFormat(name="preference", columns=("prompt", "chosen", "rejected"), supported=False),
    DataFormat(name="unpairedPreference", columns=("prompt", "completion", "label"), supported=False),
    DataFormat(name="promptOnly", columns=("prompt",), supported=False),
    instead="Bring the data as messages, promptCompletion, labeledText, multiLabelText, taggedWords, squad or text.",
)

DataFormatName = Annotated[str, OneOf(DATA_FORMATS.names)]
SupportedDataFormat = Annotated[str, OneOf(DATA_FORMATS.supported)]
