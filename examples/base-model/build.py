"""Makes the folder `model/`: a Phi-3 of a few million parameters, with its tokenizer, chat template and model card.

    python examples/base-model/build.py --dialogues taskmaster4.train.jsonl

Everything follows from the arguments and the seed, up to the rounding of the machine's arithmetic. `--dialogues` adds text in OpenAI
`messages` JSONL to what `corpus/` makes; the shipped model was built with Taskmaster-4 (see `model/README.md`).
"""

import argparse
import json
import sys
import time
from pathlib import Path

from corpus import dialogues
from corpus.turns import Dialogue
from model_card import model_card

HERE = Path(__file__).parent
BYTES_ALLOWED = 10_000_000  # of model.safetensors, so that the repository stays light


def read_dialogues(path: Path) -> list[Dialogue]:
    """The dialogues of an OpenAI `messages` JSONL file. Raises SystemExit naming file and line when a line is something else."""
    found: list[Dialogue] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                found.append([{"role": m["role"], "content": m["content"]} for m in json.loads(line)["messages"]])
            except (ValueError, KeyError, TypeError) as error:
                sys.exit(f'{path}:{number}: not a line of the form {{"messages": [{{"role": …, "content": …}}]}} ({error!r})')
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--dialogues", type=Path, nargs="*", default=[], metavar="FILE", help="JSONL files with more dialogues to learn from"
    )
    parser.add_argument("--output", type=Path, default=HERE / "model", help="the folder to write (default: %(default)s)")
    parser.add_argument("--generated", type=int, default=60_000, metavar="N", help="how many dialogues to make (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1000, help="training steps of about 2048 tokens (default: %(default)s)")
    parser.add_argument("--vocab-size", type=int, default=3072, help="(default: %(default)s)")
    parser.add_argument("--hidden-size", type=int, default=256, help="a multiple of 128 (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    asked = parser.parse_args()
    if asked.hidden_size % 128:
        parser.error(f"--hidden-size {asked.hidden_size}: heads are 64 wide and two share keys and values, so it must be a multiple of 128")
    if missing := [str(path) for path in asked.dialogues if not path.is_file()]:
        parser.error(f"--dialogues: no such file: {', '.join(missing)}")
    return asked


def main() -> None:
    """Corpus, tokenizer, training, folder."""
    asked, started = arguments(), time.monotonic()
    made = list(dialogues(seed=asked.seed, count=asked.generated))
    given = [dialogue for path in asked.dialogues for dialogue in read_dialogues(path)]

    # Only now: text that is not what it should be is named without waiting for torch.
    import torch
    from tokenizer import build_tokenizer
    from train import Recipe, Shape, encode, new_model, train

    torch.set_num_threads(asked.threads)
    # Real dialogues are few and each is worth more than a made one: they are seen twice as often.
    texts = made + 2 * given
    tokenizer = build_tokenizer(
        (message["content"] for dialogue in texts for message in dialogue),
        vocab_size=asked.vocab_size,
        model_max_length=Shape.max_position_embeddings,
    )
    examples = encode(tokenizer, texts)
    heads = asked.hidden_size // 64
    shape = Shape(
        vocab_size=len(tokenizer),
        hidden_size=asked.hidden_size,
        num_hidden_layers=asked.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        intermediate_size=asked.hidden_size * 11 // 4,
    )
    model = new_model(shape, tokenizer, seed=asked.seed)
    print(
        f"{model.num_parameters():,} parameters, vocabulary {len(tokenizer)}, "
        f"{len(examples)} dialogues of {sum(len(e.ids) for e in examples):,} tokens",
        flush=True,
    )
    loss = train(model, examples, Recipe(steps=asked.steps, seed=asked.seed), pad=tokenizer.pad_token_id)

    asked.output.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(asked.output)
    tokenizer.save_pretrained(asked.output)
    card = model_card(parameters=model.num_parameters(), loss=loss, steps=asked.steps, made=len(made), given=len(given))
    (asked.output / "README.md").write_text(card, encoding="utf-8")
    size = (asked.output / "model.safetensors").stat().st_size
    print(f"wrote {asked.output} in {time.monotonic() - started:.0f} s: {size / 1e6:.1f} MB of weights, loss {loss:.3f}")
    if size > BYTES_ALLOWED:
        sys.exit(f"{asked.output}/model.safetensors has {size} bytes, more than {BYTES_ALLOWED}: use fewer layers or a smaller vocabulary")


if __name__ == "__main__":
    main()
