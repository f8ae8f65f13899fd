"""Whatever is decoded together, each answer is what torch gives for its prompt alone."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from list_decoder import collect
from models import BuiltModel, TinyModel, build, long_rope
from tokenizers import Tokenizer

from tunewright_server.decoders import DECODERS
from tunewright_server.engine import dynamic_cache, gqa
from tunewright_server.engine.answer import Turns
from tunewright_server.engine.decoder import check_graph, open_session
from tunewright_server.engine.loop import Engine
from tunewright_server.engine.request import Event, Failed, GenerationRequest, Group, Sampling
from tunewright_server.model_folder import open_folder

PHI3 = TinyModel()
LLAMA = TinyModel(architecture="llama")
QWEN3 = TinyModel(architecture="qwen3")
TWO_ROTARY_TABLES = TinyModel(context_length=256, options=long_rope(switch=64, factors=8))
EXPORTED_BY_TORCH = TinyModel(architecture="gpt2", graph="dynamic_cache")
ALL = [PHI3, LLAMA, QWEN3, TWO_ROTARY_TABLES, EXPORTED_BY_TORCH]
WHOLE = 100_000  # a chunk that no prompt exceeds


@contextmanager
def engine_over(
    wanted: TinyModel, *, slots: int, chunk: int = WHOLE, max_length: int = 256, turns: Turns | None = None
) -> Iterator[Engine]:
    folder = open_folder(build(wanted).served_dir)
    session = open_session(folder.graph, providers=["CPUExecutionProvider"], threads=1)
    check_graph(session, folder.manifest.graph)
    decoder = DECODERS[folder.manifest.graph.cache](session, folder.manifest.graph, slots=slots, max_length=max_length)
    tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
    switch = folder.manifest.long_rope_switch
    engine = Engine(decoder, lambda ids: tokenizer.decode(list(ids)), long_rope_switch=switch, chunk=chunk, turns=turns or Turns())
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def answers_of(engine: Engine, requests: Sequence[GenerationRequest]) -> list[list[int]]:
    """Submit everything at once; return each answer's tokens."""
    queues: list[queue.Queue[Event]] = [queue.Queue() for _ in requests]
    for request, events in zip(requests, queues, strict=True):
        engine.submit(request, events.put)
    return [tokens_of(events) for events in queues]


def tokens_of(events: queue.Queue[Event]) -> list[int]:
    tokens = []
    while True:
        event = events.get(timeout=120)
        assert not isinstance(event, Failed), event
        tokens.append(event.token)
        if event.finish:
            assert event.tokens == len(tokens)
            return tokens


def ragged_requests(count: int, *, seed: int, **common: object) -> list[GenerationRequest]:
    random = np.random.default_rng(seed)
    return [
        GenerationRequest(
            prompt=tuple(random.integers(8, 600, size=int(random.integers(1, 120))).tolist()),
            max_tokens=int(random.integers(1, 60)),
            **common,
        )
        for _ in range(count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [WHOLE, 16, 1], ids=["prompts whole", "prompts in chunks of 16", "prompts in chunks of two"])
@pytest.mark.parametrize("wanted", ALL, ids=lambda wanted: f"{wanted.architecture}-{wanted.graph}-{wanted.context_length}")
def test_greedy_answers_equal_torch_while_rows_join_finish_and_move(wanted: TinyModel, chunk: int, generate_with_torch) -> None:
    requests = ragged_requests(12, seed=0)
    expected = [generate_with_torch(build(wanted).torch_dir, each.prompt, each.max_tokens) for each in requests]
    with engine_over(wanted, slots=4, chunk=chunk) as engine:
        assert answers_of(engine, requests) == expected


@pytest.mark.slow
def test_an_answer_that_exceeds_its_rotary_table_is_read_again_with_the_other(generate_with_torch) -> None:
    prompts = [tuple(range(100, 100 + length)) for length in (60, 63, 64, 65, 20)]
    expected = [generate_with_torch(build(TWO_ROTARY_TABLES).torch_dir, prompt, 60) for prompt in prompts]
    with engine_over(TWO_ROTARY_TABLES, slots=3) as engine:
        assert answers_of(engine, [GenerationRequest(prompt=prompt, max_tokens=60) for prompt in prompts]) == expected


@pytest.mark.parametrize("wanted", [PHI3, EXPORTED_BY_TORCH], ids=["gqa", "dynamic_cache"])
def test_a_row_has_no_state_of_an_earlier_request(wanted: TinyModel) -> None:
    prompt = GenerationRequest(prompt=(300, 301, 302), max_tokens=40)
    with engine_over(wanted, slots=1) as engine:
        fresh = answers_of(engine, [prompt])
        answers_of(engine, [GenerationRequest(prompt=tuple(range(8, 208)), max_tokens=48)])
        assert answers_of(engine, [prompt]) == fresh


@pytest.mark.parametrize("wanted", [PHI3, EXPORTED_BY_TORCH], ids=["gqa", "dynamic_cache"])
def test_a_seeded_answer_does_not_depend_on_its_neighbours(wanted: TinyModel) -> None:
    seeded = GenerationRequest(prompt=(300, 301, 302), max_tokens=50, sampling=Sampling(temperature=1.0, top_p=0.9, seed=7))
    neighbours = ragged_requests(9, seed=3, sampling=Sampling(temperature=1.0))
    with engine_over(wanted, slots=4, chunk=16) as engine:
        alone = answers_of(engine, [seeded])
        in_company = answers_of(engine, [*neighbours[:5], seeded, *neighbours[5:]])
        assert in_company[5] == alone[0]


ALONE_AND_AMID = [
    *(TinyModel(hidden_size=128, precision=precision) for precision in ("fp32", "int8", "int4")),
    *(
        TinyModel(architecture="llama", graph="dynamic_cache", hidden_size=128, precision=precision)
        for precision in ("fp32", "int8", "int4")
    ),
    EXPORTED_BY_TORCH,
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("several", "turns"),
    [(10, Turns()), (1, Turns(steps=6, quiet_steps=0))],
    ids=["one request with ten answers", "requests that take turns"],
)
@pytest.mark.parametrize("wanted", ALONE_AND_AMID, ids=lambda wanted: f"{wanted.architecture}-{wanted.graph}-{wanted.precision}")
def test_an_answer_is_the_same_alone_and_among_preempted_ones(wanted: TinyModel, several: int, turns: Turns) -> None:
    """Prompts of every length around a chunk's, among them those whose last token would be a chunk of its own."""
    random = np.random.default_rng(5)
    requests = [
        GenerationRequest(
            prompt=tuple(random.integers(8, 600, size=15 + each).tolist()),
            max_tokens=30,
            logprobs=0,
            sampling=Sampling(temperature=each % 2, seed=each),
        )
        for each in range(20)
    ]
    with engine_over(wanted, slots=16, chunk=16) as engine:
        alone = [events_of(engine, [[request]])[0] for request in requests]
    with engine_over(wanted, slots=4, chunk=16, turns=turns) as engine:
        amid = events_of(engine, [requests[:several], *([request] for request in requests[several:])])
        assert several > 1 or engine._rows_taken >= 4
    for one, other in zip(alone, amid, strict=True):
        assert [event.token for event in one] == [event.token for event in other]
        assert [event.logprob for event in one] == [event.logprob for event in other], "to the last bit"


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ALONE_AND_AMID, ids=lambda wanted: f"{wanted.architecture}-{wanted.graph}-{wanted.precision}")
def test_where_a_single_row_rounds_differently_no_row_is_run_alone(wanted: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it does depends on the processor; what is done then gives the same answers on each."""
    request = GenerationRequest(prompt=(300, 301, 302), max_tokens=20, logprobs=0)
    with engine_over(wanted, slots=4) as engine:
        right = events_of(engine, [[request], [request]])[0]  # two rows of one length
    for module in (gqa, dynamic_cache):
        monkeypatch.setattr(module, "differs_alone", lambda *_: True)
    with engine_over(wanted, slots=2) as engine:
        alone = events_of(engine, [[request]])[0]
    assert [event.logprob for event in alone] == [event.logprob for event in right]


@pytest.mark.parametrize("row", [0, 1, 2])
def test_the_neighbour_of_a_row_is_not_changed(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gqa, "differs_alone", lambda *_: True)
    folder = open_folder(build(PHI3).served_dir)
    session = open_session(folder.graph, providers=["CPUExecutionProvider"], threads=1)
    decoder = gqa.GqaDecoder(session, folder.manifest.graph, slots=3, max_length=32)
    for each in range(3):
        decoder.prefill(each, list(range(300, 320)) if each != row else [300, 301, 302], 0)
    before = {name: array[:, :, :20].copy() for name, array in decoder._cache.items()}
    decoder.decode(row, [303])
    for name, array in decoder._cache.items():
        others = [each for each in range(3) if each != row]
        assert np.array_equal(array[others, :, :20], before[name][others])
        assert not np.array_equal(array[row, :, 3], before[name][row, :, 3])


def events_of(engine: Engine, groups: Sequence[Sequence[GenerationRequest]]) -> list[list[Event]]:
    """Submit each group as one request; return the events of every answer."""
    queues: list[queue.Queue[Event]] = []
    for requests in groups:
        group = Group()
        for request in requests:
            queues.append(queue.Queue())
            engine.submit(request, queues[-1].put, group)
    return [collect(events) for events in queues]


def test_another_seed_gives_another_answer() -> None:
    requests = [GenerationRequest(prompt=(300,), max_tokens=30, sampling=Sampling(temperature=1.0, seed=seed)) for seed in (1, 2)]
    with engine_over(PHI3, slots=2) as engine:
        first, second = answers_of(engine, requests)
    assert first != second


def test_an_answer_may_fill_its_row_to_the_last_token(tiny: BuiltModel, generate_with_torch) -> None:
    prompt = tuple(range(100, 110))
    with engine_over(PHI3, slots=2, max_length=32) as engine:
        assert answers_of(engine, [GenerationRequest(prompt=prompt, max_tokens=22)]) == [generate_with_torch(tiny.torch_dir, prompt, 22)]
        with pytest.raises(ValueError, match="do not fit 32"):
            engine.submit(GenerationRequest(prompt=prompt, max_tokens=24), lambda _: None)
