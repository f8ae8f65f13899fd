"""An exported encoder-decoder computes what torch computes, for each family and precision, however the target is cut."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from encoder_decoders import CONTEXT, FAMILIES, HEAD_SIZE, HEADS, encoder_decoder
from lazily import lazily

from tunewright_contract.folders import DECODER_FILE, ENCODER_FILE, SequenceToSequenceGraph
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.evaluation.exported_models import ExportedSequenceToSequence

graph_check = lazily("tunewright_trainer.export.graph_check")
onnx = lazily("onnx")
onnx_seq2seq = lazily("tunewright_trainer.export.onnx_seq2seq")
torch = lazily("torch")

EXACT = 2e-4  # of logits of size 1 to 10, in fp32
IN_CI = "t5"  # the recipe's tests export BART


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory):
    """Return the model, the graph and the folder of a family, made once."""
    made: dict[str, tuple[torch.nn.Module, SequenceToSequenceGraph, Path]] = {}

    def get(family: str) -> "tuple[torch.nn.Module, SequenceToSequenceGraph, Path]":
        if family not in made:
            model, folder = encoder_decoder(family), tmp_path_factory.mktemp(family)
            made[family] = model, onnx_seq2seq.export_sequence_to_sequence(model, folder, precision="fp32"), folder
        return made[family]

    return get


def rows(count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Sources of different lengths, the first of one token, and targets of 6 tokens."""
    random = np.random.default_rng(count)
    sources = [random.integers(6, 262, 1 + 9 * number).tolist() for number in range(count)]
    return sources, random.integers(6, 262, (count, 6)).tolist()


def of_torch(model: "torch.nn.Module", source: list[int], target: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("family", [family if family == IN_CI else pytest.param(family, marks=pytest.mark.matrix) for family in FAMILIES])
def test_a_family_computes_what_torch_computes(exported, family: str) -> None:
    model, graph, folder = exported(family)
    assert (graph.layers, graph.heads, graph.head_size) == (2, HEADS, HEAD_SIZE)
    found = ExportedSequenceToSequence(folder, graph, threads=1)
    sources, targets = rows(4)
    together = found.together(sources, targets, pad=tiny.PAD_ID)
    for source, target, beside in zip(sources, targets, together, strict=True):
        expected = of_torch(model, source, target)
        assert expected.std() > 0.1
        assert np.abs(expected - found.logits(source, target)).max() < EXACT
        assert np.abs(expected - found.in_chunks(source, target, [1, 3, 1, 1])).max() < EXACT
        assert np.abs(expected - beside).max() < EXACT
        told = model.generate(torch.tensor([source]), max_new_tokens=10, do_sample=False, num_beams=1)[0].tolist()
        assert [graph.decoder_start_token_id, *found.greedy(source, max_new_tokens=10, stop=frozenset([tiny.EOS_ID]))] == told


FACTS = {
    "t5": {"decoder_start_token_id": tiny.PAD_ID, "forced_bos_token_id": None, "suppressed_token_ids": [], "max_target_length": None},
    "bart": {"decoder_start_token_id": tiny.EOS_ID, "forced_bos_token_id": tiny.END_ID, "max_target_length": CONTEXT},
    "marian": {"decoder_start_token_id": tiny.PAD_ID, "suppressed_token_ids": [tiny.PAD_ID], "max_target_length": CONTEXT},
}


@pytest.mark.slow
@pytest.mark.parametrize(("family", "facts"), FACTS.items(), ids=FACTS)
def test_what_the_server_must_know_is_in_the_manifest(
    exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, family: str, facts: dict
) -> None:
    use_graphs_of(exported("t5")[2], monkeypatch)
    found = onnx_seq2seq.export_sequence_to_sequence(encoder_decoder(family), tmp_path, precision="fp32")
    assert {name: getattr(found, name) for name in facts} == facts


def use_graphs_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make these graphs the result of the next traces, which take long."""
    monkeypatch.setattr("tunewright_trainer.export.onnx_seq2seq._trace", lambda _, into: shutil.copytree(folder, into, dirs_exist_ok=True))


@pytest.mark.slow
def test_no_weight_but_the_embedding_is_in_both_graphs(exported) -> None:
    model, _, folder = exported("t5")
    files = [sum(np.prod(tensor.dims) for tensor in onnx.load(folder / name).graph.initializer) for name in (ENCODER_FILE, DECODER_FILE)]
    embedding = model.get_input_embeddings().weight.numel()
    assert sum(files) < 1.05 * sum(parameter.numel() for parameter in model.parameters()) + 2 * embedding  # a tied head is one more


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_weights_are_quantised_in_both_graphs(exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str) -> None:
    model, _, folder = exported("t5")
    use_graphs_of(folder, monkeypatch)
    graph = onnx_seq2seq.export_sequence_to_sequence(model, tmp_path, precision=precision)
    found = ExportedSequenceToSequence(tmp_path, graph, threads=1)
    off = []
    for source, target in zip(*rows(4), strict=True):
        expected = of_torch(model, source, target)
        off.append(np.sqrt(np.square(expected - found.logits(source, target)).mean()) / expected.std())
    assert 0 < max(off) < {"int8": 0.4, "int4": 1}[precision]


@pytest.mark.slow
def test_a_graph_that_the_server_could_not_run_is_refused(exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported("t5")[2], tmp_path / "graphs")
    model = onnx.load(folder / DECODER_FILE, load_external_data=False)
    model.graph.output[1].name = "hidden"
    next(node for node in model.graph.input if node.name == "cross.0.key").type.tensor_type.shape.dim[2].dim_value = 7
    (folder / DECODER_FILE).write_bytes(model.SerializeToString())
    with pytest.raises(StageError, match=r"present.0.key is missing; output hidden is unknown.* cross.0.key has the fixed size 7 along"):
        graph_check.check_sequence_to_sequence(folder, precision="fp32", vocab_size=tiny.VOCAB_SIZE)
    with pytest.raises(StageError, match="no weight matrix of 8 bits"):
        graph_check.check_sequence_to_sequence(folder, precision="int8", vocab_size=tiny.VOCAB_SIZE)
