"""The summary of a finished job, and the chat with its model."""

import io
import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console
from stored_jobs import REVISION, SERVING, make_raw

from tunewright.cli import result
from tunewright.cli.chat import Answering, _Chat
from tunewright.cli.machine import ThisMachine
from tunewright.local.app import utc_now
from tunewright.local.supervisor import hold

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Two teas"}]


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=80, soft_wrap=True, file=io.StringIO())


@pytest.fixture
async def echo():
    """A server that repeats the last question in capitals, and refuses the word `forbidden`."""
    asked: list[dict] = []

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        if "question" in body:
            return web.json_response({"data": [{"answer": f"{body['question']} {body['context']}".upper()}]})
        if "input" in body:
            return web.json_response({"data": [{"label": body["input"].upper()}]})
        last = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        if last == "forbidden":
            return web.json_response({"error": {"message": "not that word"}}, status=400)
        choice = {"text": last.upper()} if "prompt" in body else {"delta": {"content": last.upper()}}
        return web.Response(text=f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n")

    app = web.Application()
    app.router.add_post("/v1/{tail:.*}", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/"), asked


def served_job(home, stored, url: str, answers: list[dict], **spec) -> dict:
    key = stored({**SERVING, "serving": {"url": url}}, make_raw(**spec))
    folder = home.layout.claim("default", "support-bot-output") / "models" / "support-bot" / REVISION
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps({"answers": answers}))
    return home.job(key)


async def test_the_served_model_is_asked_the_whole_conversation(home, stored, echo, console):
    url, asked = echo
    job = served_job(home, stored, url, [{"question": "Two teas", "messages": TURNS, "reference": "ORDER", "base": "What?", "tuned": "x"}])
    await result.show_answers(console, result.questions(home, job), job, [])
    assert [body["messages"] for body in asked] == [TURNS]
    assert console.export_text() == "\nuser:      Two teas\nreference: ORDER\nbase:      What?\nserved:    TWO TEAS\n"


@pytest.mark.parametrize("task", ["TextGeneration", "Translation", "Summarization"])
async def test_a_prompt_or_a_source_is_sent_to_completions(home, stored, echo, console, task):
    url, asked = echo
    job = served_job(home, stored, url, [{"question": "a box of ", "reference": "nails", "base": "air"}], task=task)
    await result.show_answers(console, result.questions(home, job), job, [])
    assert [body["prompt"] for body in asked] == ["a box of "]
    assert [body.get("max_tokens") for body in asked] == [64 if task == "TextGeneration" else None]


async def test_own_questions_replace_held_out_ones(home, stored, echo, console):
    url, asked = echo
    job = served_job(home, stored, url, [{"question": "Two teas", "messages": TURNS}], evaluation={"maxNewTokens": 7})
    await result.show_answers(console, result.questions(home, job), job, ["first", "second\nline"])
    assert [(body["messages"][-1]["content"], body["max_tokens"]) for body in asked] == [("first", 7), ("second\nline", 7)]
    assert "served:    SECOND\n           LINE\n" in console.export_text()


async def test_the_shown_questions_are_spread_over_the_file(home, stored, echo, console):
    url, asked = echo
    job = served_job(home, stored, url, [{"question": str(number)} for number in range(100)])
    await result.show_answers(console, result.questions(home, job), job, [])
    assert [body["messages"][-1]["content"] for body in asked] == ["0", "33", "66"]


def test_parity_scores_and_places_are_shown_without_wrapping(home, stored, console):
    job = served_job(home, stored, "http://127.0.0.1:20001", [])
    result.show_parity(console, job)
    result.show_evaluation(console, job)
    result.show_places(console, home, job)
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["int8", "7.50", "MiB", "512", "99.80%", "1.5e-06", "1.2e-02"] in shown
    assert ["base", "3.200", "31.0%", "not", "asked", "50"] in shown
    assert ["tuned", "1.310", "70.0%", "42.0%", "50"] in shown
    folder = home.layout.claim("default", "support-bot-output") / "models" / "support-bot" / REVISION
    assert ["model", "folder", "(ONNX,", "tokenizer,", "lineage)", str(folder)] in shown
    assert ["answers", "of", "both", "models", str(folder / "evaluation.json")] in shown


def test_a_classifiers_scores_are_accuracy_and_macro_f1(home, stored, console):
    score = {"loss": "0.25", "accuracy": "0.9", "f1Macro": "0.85", "samples": 40}
    key = stored({**SERVING, "evaluation": {"base": score, "tuned": score}}, make_raw(task="SingleLabelClassification"))
    result.show_evaluation(console, home.job(key))
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["model", "loss", "accuracy", "macro", "F1", "examples"] in shown
    assert ["tuned", "0.250", "90.0%", "85.0%", "40"] in shown


def test_a_translations_scores_are_bleu_and_chrf_in_points(home, stored, console):
    score = {"loss": "0.25", "tokenAccuracy": "0.9", "bleu": "31.46", "chrf": "60.25", "samples": 40}
    key = stored({**SERVING, "evaluation": {"base": score, "tuned": score}}, make_raw(task="Translation"))
    result.show_evaluation(console, home.job(key))
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["model", "loss", "token", "accuracy", "BLEU", "chrF", "examples"] in shown
    assert ["tuned", "0.250", "90.0%", "31.5", "60.2", "40"] in shown


def test_scores_of_answers_in_a_context_are_exact_match_and_f1(home, stored, console):
    score = {"loss": "0.25", "exactMatch": "0.5", "f1": "0.75", "samples": 40}
    key = stored({**SERVING, "evaluation": {"base": score, "tuned": score}}, make_raw(task="QuestionAnswering"))
    result.show_evaluation(console, home.job(key))
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["model", "loss", "exact", "match", "F1", "examples"] in shown
    assert ["tuned", "0.250", "50.0%", "75.0%", "40"] in shown


def test_a_job_without_export_or_evaluation_shows_neither(home, stored, console):
    key = stored({"phase": "Complete", "artifacts": []})
    for show in (result.show_parity, result.show_evaluation):
        show(console, home.job(key))
    result.show_training(console, ThisMachine(home.layout.home).losses(home.job(key)))
    assert console.export_text() == ""


@pytest.fixture
def converse(home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Type lines to a job that another process serves."""

    async def type_in(typed: str, **options: object) -> int:
        key = ("default", "support-bot")
        (tmp_path / "typed").write_text(typed)
        with hold(home.layout, *key, now=utc_now()), (tmp_path / "typed").open() as file:
            monkeypatch.setattr("sys.stdin", file)
            answering = Answering(max_tokens=None, temperature=0.0, api_key=None)
            return await _Chat(ThisMachine(home.layout.home), home.job(key), answering, **options).to_the_end(None)

    return type_in


async def test_a_conversation_sends_its_earlier_messages(home, stored, echo, converse, capsys):
    url, asked = echo
    served_job(home, stored, url, [])
    assert await converse("hi\n\nbye\n") == 0
    assert capsys.readouterr().out == "HI\nBYE\n"
    assert [message["content"] for message in asked[-1]["messages"]] == ["hi", "HI", "bye"]


async def test_each_line_to_a_translator_is_a_source_by_itself(home, stored, echo, converse, capsys):
    url, asked = echo
    served_job(home, stored, url, [], task="Translation")
    assert await converse("hi\nbye\n") == 0
    assert capsys.readouterr().out == "HI\nBYE\n"
    assert [body["prompt"] for body in asked] == ["hi", "bye"]


async def test_a_refused_message_is_removed_and_the_conversation_continues(home, stored, echo, converse, capsys):
    url, asked = echo
    served_job(home, stored, url, [])
    assert await converse("hi\nforbidden\nbye\n") == 1
    shown = capsys.readouterr()
    assert (shown.out, "the server answered 400: not that word" in shown.err) == ("HI\nBYE\n", True)
    assert [message["content"] for message in asked[-1]["messages"]] == ["hi", "HI", "bye"]


async def test_for_text_generation_each_line_is_a_separate_prompt(home, stored, echo, converse):
    url, asked = echo
    served_job(home, stored, url, [], task="TextGeneration")
    assert await converse("one\ntwo\n") == 0
    assert [body["prompt"] for body in asked] == ["one", "two"]


async def test_for_a_classifier_each_line_gets_its_label(home, stored, echo, converse, capsys):
    url, asked = echo
    served_job(home, stored, url, [], task="SingleLabelClassification")
    assert await converse("one\ntwo\n") == 0
    assert (capsys.readouterr().out, [body["input"] for body in asked]) == ("ONE\nTWO\n", ["one", "two"])


async def test_with_a_context_each_line_is_a_question_about_it(home, stored, echo, converse, capsys):
    url, asked = echo
    served_job(home, stored, url, [], task="QuestionAnswering")
    assert await converse("who?\nwhere?\n", context="in a box\nat nine") == 0
    assert capsys.readouterr().out == "WHO? IN A BOX\nAT NINE\nWHERE? IN A BOX\nAT NINE\n"
    assert [body["question"] for body in asked] == ["who?", "where?"]


async def test_held_out_questions_are_sent_with_their_context(home, stored, echo, console):
    url, asked = echo
    job = served_job(
        home, stored, url, [{"question": "who?\nAnna", "reference": "Anna", "base": "", "tuned": "Anna"}], task="QuestionAnswering"
    )
    await result.show_answers(console, result.questions(home, job), job, [])
    assert [(body["question"], body["context"]) for body in asked] == [("who?", "Anna")]


CONTEXTS = {
    "none": ("QuestionAnswering", ["who?"], "answers from a text, and there is none"),
    "a file that does not exist": ("QuestionAnswering", ["who?", "--context-file", "nothing.txt"], "nothing.txt cannot be read"),
    "a folder": ("QuestionAnswering", ["who?", "--context-file", "/"], "--context-file"),
    "a device": ("QuestionAnswering", ["who?", "--context-file", "/dev/zero"], "/dev/zero cannot be read: /dev/zero is no regular file"),
    "a file that is no text": ("QuestionAnswering", ["who?", "--context-file", "latin.txt"], "latin.txt cannot be read: 'utf-8' codec"),
    "one that is not read": (
        "TextGeneration",
        ["who?", "--context-file", "latin.txt"],
        "--context-file: the model of support-bot (task TextGeneration) reads no context",
    ),
}


@pytest.mark.parametrize("case", CONTEXTS)
def test_a_context_that_cannot_be_used_is_refused(stored, call, tmp_path, monkeypatch, case):
    task, arguments, words = CONTEXTS[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    stored(SERVING, make_raw(task=task))
    refused = call("chat", "support-bot", *arguments)
    assert refused.exit_code in {2, 64}
    assert " ".join(words.split()) in " ".join(refused.stderr.split())


@pytest.mark.parametrize("option", [("--max-tokens", "3"), ("--temperature", "0.5")])
def test_an_option_that_a_classifier_would_ignore_is_refused(stored, call, option):
    stored(SERVING, make_raw(task="SingleLabelClassification"))
    refused = call("chat", "support-bot", "hello", *option)
    assert (refused.exit_code, refused.stdout) == (64, "")
    assert f"{option[0]}: the model of support-bot (task SingleLabelClassification) reads a text" in refused.stderr
