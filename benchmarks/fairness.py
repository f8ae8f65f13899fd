"""How long a short question waits beside one large request, against the same question on an idle engine.

    python benchmarks/fairness.py --model <published model folder>

One process and one engine, without HTTP. The script sends the question (5 tokens) `--rounds` times alone, and
`--rounds` times while a request with `--choices` answers of `--answer` tokens runs, in turns. It prints the medians and their ratio.
"""

import argparse
import queue
import statistics
import time
from pathlib import Path

from tunewright_server.decoders import DECODERS
from tunewright_server.engine.decoder import open_session
from tunewright_server.engine.loop import Engine
from tunewright_server.engine.request import GenerationRequest, Group, Sampling
from tunewright_server.model_folder import open_folder


def ask(engine: Engine) -> float:
    """Return the seconds that an answer of 5 tokens takes."""
    events: queue.Queue[object] = queue.Queue()
    began = time.perf_counter()
    engine.submit(GenerationRequest(prompt=(5, 6, 7), max_tokens=5), events.put)
    for _ in range(5):
        events.get(timeout=600)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--choices", type=int, default=128)
    parser.add_argument("--answer", type=int, default=900)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    folder = open_folder(given.model)
    session = open_session(folder.graph, providers=["CPUExecutionProvider"], threads=given.threads)
    graph = folder.manifest.graph
    length = min(folder.manifest.context_length, given.answer + 64)
    engine = Engine(DECODERS[graph.cache](session, graph, slots=16, max_length=length), lambda _: "")
    engine.start()
    alone, beside = [], []
    try:
        ask(engine)
        for _ in range(given.rounds):
            alone.append(ask(engine))
            group = Group()
            large = [
                GenerationRequest(prompt=(8, 9, 10), max_tokens=length - 4, sampling=Sampling(temperature=1.0, seed=each))
                for each in range(given.choices)
            ]
            tickets = [engine.submit(each, lambda _: None, group) for each in large]
            time.sleep(1.0)  # until all rows are in use
            beside.append(ask(engine))
            for ticket in tickets:
                ticket.cancel()
            while engine.load.running:
                time.sleep(0.01)
    finally:
        engine.stop()
    first, second = statistics.median(alone), statistics.median(beside)
    large_request = f"{given.choices} answers of {length - 4} tokens"
    print(f"alone {first * 1000:.1f} ms, beside {large_request} {second * 1000:.1f} ms, ratio {second / first:.1f}")


if __name__ == "__main__":
    main()
