"""A text's numbers are those of torch, and the same to the last bit whatever is run beside it."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from encoders import CONTEXT, VOCABULARY, TinyEncoder, build_encoder
from models import BuiltModel

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.encoder_heads import QuestionAnsweringHead, SequenceClassificationHead, TokenClassificationHead
from tunewright_contract.folders import EncoderGraph
from tunewright_server.engine.decoder import open_session
from tunewright_server.engine.encoder import Encoder
from tunewright_server.engine.encoder_loop import EncoderEngine
from tunewright_server.engine.row_queue import EncoderEvent, RowAnswer, TokenRow
from tunewright_server.model_folder import open_folder
from tunewright_server.refusal import RefusalError

BERT = TinyEncoder()
LLAMA = TinyEncoder(architecture="llama")
TAGGER = TinyEncoder(task="NamedEntityRecognition")
BLOCK = TinyEncoder(quantization="block")
TENSOR = TinyEncoder(quantization="tensor")
TWO_LABELS = SequenceClassificationHead(labels=["no", "yes"], problem_type="single_label_classification")
TAGS = TokenClassificationHead(labels=["O", "B-X"])
MODELS = {"bert": BERT, "llama": LLAMA, "tags of words": TAGGER, "int8 in blocks": BLOCK, "int8 with one scale": TENSOR}


def load(built: BuiltModel, **changes: object) -> Encoder:
    folder = open_folder(built.served_dir)
    graph = folder.manifest.graph
    assert isinstance(graph, EncoderGraph)
    session = open_session(folder.graph, providers=["CPUExecutionProvider"], threads=2)
    pad = folder.manifest.pad_token_id
    assert pad is not None
    return Encoder(session, graph.model_copy(update=changes), max_length=CONTEXT, vocab_size=VOCABULARY, pad_token_id=pad)


def texts() -> list[TokenRow]:
    """Of every length from 1 to 30 two, and some long ones; without the padding token."""
    random = np.random.default_rng(1)
    return [
        TokenRow(tuple(random.integers(4, VOCABULARY, length).tolist())) for length in [*range(1, 31), *range(1, 31), 63, 64, 65, CONTEXT]
    ]


@contextmanager
def running(encoder: Encoder) -> Iterator[EncoderEngine]:
    engine = EncoderEngine(encoder)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def answers(engine: EncoderEngine, requests: Sequence[Sequence[TokenRow]]) -> list[np.ndarray]:
    """The logits of all rows of all requests, which wait together."""
    queues: list[queue.Queue[tuple[int, EncoderEvent]]] = [queue.Queue() for _ in requests]
    for rows, events in zip(requests, queues, strict=True):
        engine.submit(rows, lambda index, event, events=events: events.put((index, event)))
    found = []
    for rows, events in zip(requests, queues, strict=True):
        mine = dict(events.get(timeout=60) for _ in rows)
        assert all(isinstance(event, RowAnswer) for event in mine.values())
        found += [mine[index].logits for index in range(len(rows))]
    return found


@pytest.mark.parametrize("wanted", MODELS.values(), ids=MODELS.keys())
def test_a_text_has_the_same_numbers_alone_and_beside_others(wanted: TinyEncoder) -> None:
    rows, encoder = texts(), load(build_encoder(wanted))
    alone = [encoder.run([row], len(row))[0] for row in rows]
    with running(encoder) as engine:
        before = engine.load.runs
        together = answers(engine, [rows[:20], rows[20:21], rows[21:]])
        runs = engine.load.runs - before
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    assert (runs < len(rows)) is encoder.shares_runs


def test_rows_of_a_graph_with_one_scale_for_a_tensor_run_alone_and_without_padding() -> None:
    encoder = load(build_encoder(TENSOR))
    assert (encoder.shares_runs, encoder.pads, encoder.width(13)) == (False, False, 13)


@pytest.mark.parametrize("wanted", [BERT, LLAMA, TAGGER], ids=["bert", "llama", "tags of words"])
def test_a_text_has_the_numbers_of_torch(wanted: TinyEncoder) -> None:
    import torch
    import transformers

    built, rows = build_encoder(wanted), texts()
    model = getattr(transformers, TASKS[wanted.task].auto_class).from_pretrained(built.torch_dir).eval()
    with torch.no_grad():
        expected = [model(torch.tensor([row.tokens])).logits[0].numpy() for row in rows]
    with running(load(built)) as engine:
        found = answers(engine, [rows])
    assert [array.shape for array in found] == [array.shape for array in expected]
    for array, wanted_array in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, wanted_array, atol=1e-4, rtol=1e-4)


def test_types_of_tokens_reach_the_graph() -> None:
    """As in a pair of texts; without types all are 0."""
    encoder, tokens = load(build_encoder(BERT)), (5, 6, 7, 8)
    rows = [TokenRow(tokens), TokenRow(tokens, (0, 0, 0, 0)), TokenRow(tokens, (0, 0, 1, 1))]
    plain, zeros, pair = encoder.run(rows, encoder.width(4))
    assert np.array_equal(plain, zeros)
    assert not np.allclose(plain, pair, atol=1e-3)


@pytest.mark.parametrize(("width", "length"), [(8, 1), (8, 8), (16, 9), (64, 63), (72, 65), (104, 100), (128, 121), (128, 128)])
def test_a_width_depends_on_the_length_alone_and_never_passes_the_longest(width: int, length: int) -> None:
    encoder = load(build_encoder(BERT))
    assert encoder.width(length) == (width if encoder.pads else length)


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("needs inputs that the manifest does not list: ['token_type_ids']", {"takes_token_type_ids": False}),
        ("in logits; the manifest's head sequence_classification has ['rows', 2]", {"head": TWO_LABELS}),
        ("in logits; the manifest's head token_classification has ['rows', 'tokens', 2]", {"head": TAGS}),
        ("lacks the outputs ['end_logits', 'start_logits']", {"head": QuestionAnsweringHead(doc_stride=16, no_answer=False)}),
    ],
)
def test_a_graph_that_is_not_the_manifests_is_refused(named: str, changes: dict[str, object]) -> None:
    with pytest.raises(RefusalError) as refused:
        load(build_encoder(BERT), **changes)
    assert named in str(refused.value)
    assert (refused.value.reason, refused.value.exit_code) == ("GraphMismatch", 65)


def test_an_input_that_is_missing_is_named() -> None:
    with pytest.raises(RefusalError, match="lacks the inputs \\['token_type_ids'\\]"):
        load(build_encoder(LLAMA), takes_token_type_ids=True)
