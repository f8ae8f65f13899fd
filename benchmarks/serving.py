"""Served tokens per second and time to first token, against `transformers.generate` and the ONNX Runtime GenAI generator.

    python benchmarks/serving.py --model <published model folder> --torch <the same model in Hugging Face form>

One run, one machine, one load after the other: `--requests` requests of `--prompt` random tokens, each answered with `--answer` tokens,
greedily and without stopping early, with 1 and with 16 of them at a time. Ours goes through the whole server: HTTP, JSON, server-sent
events, detokenisation. The other two are called as libraries and get their best case: prompts of equal length, decoded as one static
batch that begins and ends together. Ratios are ours divided by theirs, from the same run; the numbers mean nothing on another machine.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
from openai import AsyncOpenAI

from tunewright_contract import environment
from tunewright_contract.folders import MANIFEST_NAME, ModelManifest
from tunewright_server.machine import cpu_limit

Prompts = list[list[int]]


@dataclass(frozen=True)
class Measured:
    """Of one system under one load. Times in seconds."""

    tokens_per_second: float  # generated tokens over the whole duration
    first_token: float  # median over the requests
    cpu_per_token: float = 0.0  # processor time of the process that runs the model; says something on a busy machine too


@dataclass(frozen=True)
class Load:
    prompts: Prompts
    answer: int  # tokens
    at_once: int

    @property
    def groups(self) -> Iterator[Prompts]:
        """Static batches, for systems that know no other."""
        for start in range(0, len(self.prompts), self.at_once):
            yield self.prompts[start : start + self.at_once]

    def measured(self, seconds: float, first_tokens: list[float]) -> Measured:
        return Measured(len(self.prompts) * self.answer / seconds, statistics.median(first_tokens))


Run = Callable[[Load], Measured]
OURS = "tunewright server"


@contextmanager
def our_server(model: Path, *, max_length: int) -> Iterator[tuple[Run, int]]:
    """Start our server; yield how to ask it, and its process id."""
    env = {**os.environ, environment.MODEL_DIR: str(model), environment.PORT: "0"}
    env |= {environment.MAX_SLOTS: "16", environment.MAX_LENGTH: str(max_length)}
    name = ModelManifest.model_validate_json((model / MANIFEST_NAME).read_text()).name
    with subprocess.Popen([sys.executable, "-m", "tunewright_server"], env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = wait_until_ready(process)
            yield (lambda load: asyncio.run(ask_our_server(f"http://127.0.0.1:{port}/v1", name, load))), process.pid
        finally:
            process.terminate()


def wait_until_ready(process: "subprocess.Popen[str]") -> int:
    port = 0
    assert process.stderr is not None
    for text in process.stderr:
        line = json.loads(text)
        port = line.get("port", port)
        if line["message"] == "ready":
            return port
    raise SystemExit("the server ended before it was ready; start it by hand to see why")


async def ask_our_server(url: str, name: str, load: Load) -> Measured:
    free = asyncio.Semaphore(load.at_once)
    first_tokens = []
    async with AsyncOpenAI(base_url=url, api_key="none", timeout=600) as client:

        async def ask(prompt: list[int]) -> None:
            async with free:
                began = time.perf_counter()
                options = {
                    "temperature": 0,
                    "stream": True,
                    "logprobs": 0,
                    "extra_body": {"ignore_eos": True},
                }  # logprobs: a chunk per token
                stream = await client.completions.create(model=name, prompt=prompt, max_tokens=load.answer, **options)
                chunks = 0
                async for _ in stream:
                    if not chunks:
                        first_tokens.append(time.perf_counter() - began)
                    chunks += 1
                assert chunks == load.answer

        began = time.perf_counter()
        await asyncio.gather(*(ask(prompt) for prompt in load.prompts))
        return load.measured(time.perf_counter() - began, first_tokens)


def transformers_generate(folder: Path, *, threads: int) -> Run:
    import torch
    from transformers import AutoModelForCausalLM, StoppingCriteria

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None

    class Clock(StoppingCriteria):
        """Records the time of each token. transformers calls it after each one."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def __call__(self, ids: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
            self.times.append(time.perf_counter())
            return torch.zeros(len(ids), dtype=torch.bool)

    def run(load: Load) -> Measured:
        first_tokens = []
        began = time.perf_counter()
        for group in load.groups:
            clock, start = Clock(), time.perf_counter()
            with torch.no_grad():
                model.generate(torch.tensor(group), max_new_tokens=load.answer, do_sample=False, pad_token_id=0, stopping_criteria=[clock])
            first_tokens += [clock.times[0] - start] * len(group)
        return load.measured(time.perf_counter() - began, first_tokens)

    return run


def genai_generator(folder: Path) -> Run:
    import onnxruntime_genai as og

    model = og.Model(str(folder))

    def run(load: Load) -> Measured:
        first_tokens = []
        began = time.perf_counter()
        for group in load.groups:
            length = len(group[0]) + load.answer
            parameters = og.GeneratorParams(model)
            parameters.set_search_options(do_sample=False, batch_size=len(group), max_length=length, min_length=length)
            generator = og.Generator(model, parameters)
            start = time.perf_counter()
            generator.append_tokens(np.array(group, np.int32))
            for step in range(load.answer):
                generator.generate_next_token()
                if step == 0:
                    first_tokens += [time.perf_counter() - start] * len(group)
        return load.measured(time.perf_counter() - began, first_tokens)

    return run


def best(results: list[Measured]) -> Measured:
    """On a shared machine the best round is the one least disturbed."""
    return Measured(
        max(each.tokens_per_second for each in results),
        min(each.first_token for each in results),
        min(each.cpu_per_token for each in results),
    )


def measure(run: Run, process: int, load: Load) -> Measured:
    before = sum(psutil.Process(process).cpu_times()[:2])
    found = run(load)
    cpu = sum(psutil.Process(process).cpu_times()[:2]) - before
    return replace(found, cpu_per_token=cpu / (len(load.prompts) * load.answer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="published model folder (tunewright.json)")
    parser.add_argument("--torch", type=Path, help="the same model in Hugging Face form; without it transformers is left out")
    parser.add_argument("--prompt", type=int, default=128, help="tokens per prompt")
    parser.add_argument("--answer", type=int, default=64, help="tokens per answer")
    parser.add_argument("--requests", type=int, default=16, help="requests at 16 at once; a quarter of it one at a time")
    parser.add_argument("--rounds", type=int, default=2, help="turns that each system gets; the best one counts")
    asked = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server we started is ended too
    threads = cpu_limit()
    os.environ["ORT_INTRA_OP_NUM_THREADS"] = str(threads)  # for the GenAI generator; ours decides by itself
    manifest = ModelManifest.model_validate_json((asked.model / MANIFEST_NAME).read_text())
    random = np.random.default_rng(0)
    prompts: Prompts = random.integers(10, manifest.vocab_size, size=(asked.requests, asked.prompt)).tolist()
    loads = [Load(prompts[: max(1, asked.requests // 4)], asked.answer, 1), Load(prompts, asked.answer, 16)]
    warm = Load(prompts[:1], 4, 1)

    with our_server(asked.model, max_length=asked.prompt + asked.answer) as (ours, server):
        systems = {OURS: (ours, server)}
        if (asked.model / "genai_config.json").exists():
            systems["ONNX Runtime GenAI generator"] = (genai_generator(asked.model), os.getpid())
        if asked.torch:
            systems["transformers.generate (float32)"] = (transformers_generate(asked.torch, threads=threads), os.getpid())
        for run, _ in systems.values():
            run(warm)
        rounds = [{name: [measure(*system, load) for load in loads] for name, system in systems.items()} for _ in range(asked.rounds)]
    found = {name: [best([each[name][load] for each in rounds]) for load in range(len(loads))] for name in systems}

    print(f"{manifest.architecture} {manifest.precision}, {threads} threads, load average {os.getloadavg()[0]:.1f}")
    print(f"prompt {asked.prompt} + answer {asked.answer} tokens; ratio = ours / theirs")
    print(f"{'':34}{'1 at a time':^44}{'16 at a time':^44}")
    print(f"{'':34}" + 2 * f"{'tok/s':>8}{'ratio':>7}{'TTFT ms':>9}{'ratio':>7}{'CPU ms/tok':>11}  ")
    for name, results in found.items():
        cells = [
            f"{each.tokens_per_second:8.0f}{mine.tokens_per_second / each.tokens_per_second:7.2f}"
            f"{each.first_token * 1000:9.0f}{mine.first_token / each.first_token:7.2f}{each.cpu_per_token * 1000:11.2f}"
            for each, mine in zip(results, found[OURS], strict=True)
        ]
        print(f"{name:34}" + "  ".join(cells))


if __name__ == "__main__":
    main()
