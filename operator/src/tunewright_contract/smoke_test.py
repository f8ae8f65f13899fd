"""The question that a server must answer before it is ready."""

from tunewright_contract.base import Message


class SmokeTest(Message):
    """Answered greedily. Fails if the answer is empty or, ignoring case, does not contain `contains`."""

    prompt: str  # the user's words for a chat model, else the text to continue from
    contains: str | None = None
    max_tokens: int = 64
