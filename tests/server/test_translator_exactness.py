"""A sequence-to-sequence model gives each source the target that torch gives it alone, to the last bit whatever is served beside it."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
import tiny
from list_decoder import collect
from tokenizers import Tokenizer
from translators import CONTEXT, TinyTranslator, build_translator

from tunewright_contract.folders import SequenceToSequenceGraph
from tunewright_server.engine.answer import Turns
from tunewright_server.engine.decoder import open_session
from tunewright_server.engine.loop import Engine
from tunewright_server.engine.request import Event, Failed, GenerationRequest, Group, Lengths, Sampling
from tunewright_server.engine.sequence_to_sequence import SequenceToSequenceDecoder, Sharing, start_of
from tunewright_server.model_folder import open_folder
from tunewright_server.refusal import RefusalError

T5, BART = TinyTranslator(), TinyTranslator(family="bart")
QUANTISED = TinyTranslator(precision="int8")


def decoder_of(wanted: TinyTranslator, *, slots: int = 4, **changes: object) -> SequenceToSequenceDecoder:
    folder = open_folder(build_translator(wanted).served_dir)
    graph = folder.manifest.graph
    assert isinstance(graph, SequenceToSequenceGraph)
    encoder, decoder = (open_session(path, providers=["CPUExecutionProvider"], threads=1) for path in folder.graphs)
    return SequenceToSequenceDecoder(
        encoder,
        decoder,
        graph.model_copy(update=changes),
        slots=slots,
        lengths=Lengths.separate(prompt=CONTEXT, answer=CONTEXT - len(start_of(graph))),
        vocab_size=folder.manifest.vocab_size,
    )


@contextmanager
def engine_over(wanted: TinyTranslator, *, slots: int, turns: Turns | None = None, **changes: object) -> Iterator[Engine]:
    tokenizer = Tokenizer.from_file(str(build_translator(wanted).served_dir / "tokenizer.json"))
    engine = Engine(decoder_of(wanted, slots=slots, **changes), lambda ids: tokenizer.decode(list(ids)), turns=turns or Turns())
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def events_of(engine: Engine, groups: Sequence[Sequence[GenerationRequest]]) -> list[list[Event]]:
    """Submit each group as one request; return the events of every answer."""
    queues: list[queue.Queue[Event]] = []
    for requests in groups:
        group = Group()
        for request in requests:
            queues.append(queue.Queue())
            engine.submit(request, queues[-1].put, group)
    return [collect(events) for events in queues]


def sources(count: int, *, seed: int, **options: object) -> list[GenerationRequest]:
    """Sources of 1 to 60 tokens, the first four of one length, and targets of 1 to 40."""
    random = np.random.default_rng(seed)
    lengths = [7] * 4 + random.integers(1, 60, count - 4).tolist()
    return [
        GenerationRequest(prompt=tuple(random.integers(6, 262, length).tolist()), max_tokens=int(random.integers(1, 40)), **options)
        for length in lengths
    ]


def tokens(events: Sequence[Event]) -> list[int]:
    assert not isinstance(events[-1], Failed), events[-1]
    return [event.token for event in events]


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [T5, BART], ids=lambda wanted: wanted.family)
def test_greedy_answers_equal_torch_while_rows_join_finish_and_move(wanted: TinyTranslator, translate_with_torch) -> None:
    requests = sources(12, seed=0)
    expected = [translate_with_torch(build_translator(wanted).torch_dir, each.prompt, each.max_tokens) for each in requests]
    with engine_over(wanted, slots=4) as engine:
        assert [tokens(events) for events in events_of(engine, [[each] for each in requests])] == expected
    assert len({tuple(each[:3]) for each in expected}) > 4, "the test would see answers that are mixed up"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("several", "turns"),
    [(10, Turns()), (1, Turns(steps=6, quiet_steps=0))],
    ids=["one request with ten answers", "requests that take turns"],
)
@pytest.mark.parametrize("wanted", [T5, QUANTISED], ids=lambda wanted: f"{wanted.family}-{wanted.precision}")
def test_an_answer_is_the_same_alone_and_amid_others_whose_rows_are_taken_away(wanted: TinyTranslator, several: int, turns: Turns) -> None:
    requests = [
        GenerationRequest(prompt=each.prompt, max_tokens=30, logprobs=0, sampling=Sampling(temperature=index % 2, seed=index))
        for index, each in enumerate(sources(16, seed=5))
    ]
    with engine_over(wanted, slots=16) as engine:
        alone = [events_of(engine, [[request]])[0] for request in requests]
    with engine_over(wanted, slots=4, turns=turns) as engine:
        amid = events_of(engine, [requests[:several], *([request] for request in requests[several:])])
        assert several > 1 or engine._rows_taken >= 4
    for one, other in zip(alone, amid, strict=True):
        assert tokens(one) == tokens(other)
        assert [event.logprob for event in one] == [event.logprob for event in other], "to the last bit"


@pytest.mark.parametrize("sharing", list(Sharing), ids=lambda each: each.value)
def test_rows_share_runs_as_far_as_that_changes_no_bit(sharing: Sharing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here all of them can; a graph for which they cannot is served in other runs with the same answers."""
    request = GenerationRequest(prompt=(20, 21, 22), max_tokens=10, logprobs=0)
    monkeypatch.setattr(SequenceToSequenceDecoder, "_measure_sharing", lambda *_: sharing)
    decoder = decoder_of(T5)
    widths: list[int] = []
    run = decoder._run
    monkeypatch.setattr(decoder, "_run", lambda rows, new: (widths.append(len(rows)), run(rows, new))[1])
    for row in range(3):
        decoder.prefill(row, request.prompt if row < 2 else (9,), 0)
    del widths[:]
    decoder.decode(0, [30, 31, 32])
    assert sorted(widths) == {Sharing.ANY: [1, 2], Sharing.NOT_ALONE: [2, 2], Sharing.NONE: [1, 1, 1]}[sharing]


@pytest.mark.parametrize(("expected", "how"), [(Sharing.NOT_ALONE, "alone"), (Sharing.NONE, "all")])
def test_what_rows_may_share_is_measured(expected: Sharing, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoder_of(T5).sharing is Sharing.ANY
    real = SequenceToSequenceDecoder._run

    def rounded(self, rows, new):
        logits, longer = real(self, rows, new)
        return logits + np.float32(0.01 * ((len(rows) == 1) if how == "alone" else len(rows))), longer

    monkeypatch.setattr(SequenceToSequenceDecoder, "_run", rounded)
    assert decoder_of(T5).sharing is expected


def test_nothing_of_a_former_request_is_left_in_its_row() -> None:
    request = GenerationRequest(prompt=(20, 21, 22), max_tokens=20, logprobs=0)
    with engine_over(T5, slots=1) as engine:
        fresh = events_of(engine, [[request]])[0]
        events_of(engine, [[GenerationRequest(prompt=tuple(range(8, 108)), max_tokens=60)]])
        again = events_of(engine, [[request]])[0]
    assert [event.logprob for event in again] == [event.logprob for event in fresh]


def test_an_answer_may_be_as_long_as_the_target_and_the_source_as_long_as_its_own_bound(translate_with_torch) -> None:
    source = tuple(10 + each % 200 for each in range(CONTEXT))
    with engine_over(BART, slots=1) as engine:
        (events,) = events_of(engine, [[GenerationRequest(prompt=source, max_tokens=CONTEXT - 2)]])
        with pytest.raises(ValueError, match=f"do not fit {CONTEXT} and {CONTEXT - 2}"):
            engine.submit(GenerationRequest(prompt=source, max_tokens=CONTEXT - 1), lambda _: None)
    assert tokens(events) == translate_with_torch(build_translator(BART).torch_dir, source, CONTEXT - 2)


def test_tokens_that_the_manifest_suppresses_are_never_generated() -> None:
    request = GenerationRequest(prompt=(20, 21, 22), max_tokens=20)
    with engine_over(T5, slots=1) as engine:
        (free,) = events_of(engine, [[request]])
    unwanted = free[0].token
    with engine_over(T5, slots=1, suppressed_token_ids=[unwanted]) as engine:
        (found,) = events_of(engine, [[request]])
    assert unwanted in tokens(free)
    assert unwanted not in tokens(found)


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        (r"the encoder lacks the outputs \['cross.2.key', 'cross.2.value'\]", {"layers": 3}),
        ("the decoder needs inputs that the manifest does not list", {"layers": 1}),
        ("the encoder has size 4 in axis 1 of cross.0.key, the manifest says 8", {"heads": 8}),
        ("the encoder has size 16 in axis 3 of cross.0.key, the manifest says 32", {"head_size": 32}),
        ("the vocabulary of 288 tokens lacks token id 288", {"decoder_start_token_id": tiny.VOCAB_SIZE}),
        ("the vocabulary of 288 tokens lacks token id 999", {"suppressed_token_ids": [999]}),
    ],
)
def test_graphs_that_are_not_the_manifests_are_refused(named: str, changes: dict[str, object]) -> None:
    with pytest.raises(RefusalError, match=named) as refused:
        decoder_of(T5, **changes)
    assert (refused.value.reason, refused.value.exit_code) == ("GraphMismatch", 65)


def test_a_source_is_neither_read_nor_shared_in_part() -> None:
    decoder = decoder_of(T5)
    decoder.prefill(0, (20, 21, 22), 0)
    with pytest.raises(ValueError, match="read whole"):
        decoder.prefill(0, (23,), 3)
    with pytest.raises(ValueError, match="shared whole"):
        decoder.share(0, 1, 2)
