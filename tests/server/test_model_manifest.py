"""The manifest of a model folder: which graphs it describes, which versions of it are read, and what is refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from models import BuiltModel
from pydantic import ValidationError

from tunewright_contract.capabilities.tasks import TASKS, GraphKind, HeadKind
from tunewright_contract.encoder_heads import EncoderHead, QuestionAnsweringHead, SequenceClassificationHead, TokenClassificationHead
from tunewright_contract.folders import MANIFEST_NAME, DecoderGraph, EncoderGraph, ModelManifest, SequenceToSequenceGraph
from tunewright_server.encoders import HEADS
from tunewright_server.graph_kinds import GRAPH_KINDS, kind_of
from tunewright_server.model_folder import open_folder
from tunewright_server.refusal import RefusalError

SINGLE = "single_label_classification"
MULTI = "multi_label_classification"


CLASSIFICATION = {"task": "SingleLabelClassification"}
READER = {"kind": "question_answering", "docStride": 8, "noAnswer": False}


def encoder(head: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "encoder", "head": head}


def sequence(**changes: Any) -> dict[str, Any]:
    return encoder({"kind": "sequence_classification", "labels": ["ham", "spam"], "problemType": SINGLE, **changes})


def written(tiny: BuiltModel) -> dict[str, Any]:
    return json.loads((tiny.served_dir / MANIFEST_NAME).read_text())


def test_a_folder_of_version_1_means_the_same_as_one_of_version_2(tiny: BuiltModel) -> None:
    new = written(tiny)
    graph = dict(new["graph"])
    assert (new["apiVersion"], graph.pop("kind"), graph.pop("cache")) == ("tunewright.io/model/v2", "decoder", "gqa")
    old = {**new, "apiVersion": "tunewright.io/model/v1", "graph": {"kind": "gqa", **graph}}
    assert ModelManifest.model_validate(old) == ModelManifest.model_validate(new)


def test_a_folder_of_another_version_is_refused_with_those_that_are_read(tiny: BuiltModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny.served_dir, folder)
    (folder / MANIFEST_NAME).write_text(json.dumps({**written(tiny), "apiVersion": "tunewright.io/model/v3", "more": 1}))
    with pytest.raises(RefusalError, match=r"'tunewright.io/model/v3': this release reads tunewright.io/model/v1 and .*v2") as refused:
        open_folder(folder)
    assert (refused.value.reason, refused.value.exit_code) == ("ManifestVersionUnknown", 64)


@pytest.mark.parametrize(
    ("named", "graph"),
    [
        ("graph", {"kind": "transducer"}),
        ("graph", "decoder"),
        ("graph.decoder.cache", {"kind": "decoder", "cache": "paged", "layers": 1, "kvHeads": 1, "headSize": 1}),
        ("at least 2 are needed, and there are 1", sequence(labels=["spam"])),
        ("at least 1 are needed, and there are 0", sequence(labels=[], problemType=MULTI)),
        ("each label must occur once", sequence(labels=["spam", "spam"])),
        ("graph.encoder.head.sequence_classification.labels.0", sequence(labels=["", "spam"])),
        ("graph.encoder.head.sequence_classification.problemType", sequence(problemType="regression")),
        ("at least 2 are needed, and there are 1", encoder({"kind": "token_classification", "labels": ["O"]})),
        ("graph.encoder.head.question_answering.labels", encoder({**READER, "labels": ["a", "b"]})),
        ("graph.encoder.head", encoder({"kind": "regression"})),
    ],
)
def test_a_graph_that_cannot_be_run_is_named(named: str, graph: Any, tiny: BuiltModel) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelManifest.model_validate({**written(tiny), "graph": graph})
    first = refused.value.errors()[0]
    assert named in f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def test_a_kind_of_graph_without_an_engine_is_refused(tiny: BuiltModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(GRAPH_KINDS, "decoder")
    with pytest.raises(RefusalError, match="of kind decoder, and this server runs encoder, sequence_to_sequence") as refused:
        kind_of(open_folder(tiny.served_dir))
    assert (refused.value.reason, refused.value.exit_code) == ("GraphUnsupported", 64)


def test_a_graph_that_does_not_fit_the_task_is_refused(tiny: BuiltModel) -> None:
    with pytest.raises(
        ValidationError, match=r"graph.kind: decoder does not fit task SingleLabelClassification, whose models are of kind enc"
    ):
        ModelManifest.model_validate({**written(tiny), **CLASSIFICATION})


def test_the_tables_and_the_manifest_know_the_same_kinds_of_graphs() -> None:
    kinds = {graph.model_fields["kind"].default for graph in (DecoderGraph, EncoderGraph, SequenceToSequenceGraph)}
    assert kinds == set(get_args(GraphKind)) == set(GRAPH_KINDS)


def test_an_encoder_names_its_labels_in_the_order_of_their_ids(tiny: BuiltModel) -> None:
    graph = {**sequence(labels=["no", "yes"]), "takesTokenTypeIds": True}
    assert ModelManifest.model_validate({**written(tiny), **CLASSIFICATION, "graph": graph}).graph == EncoderGraph(
        head=SequenceClassificationHead(labels=["no", "yes"], problem_type=SINGLE), takes_token_type_ids=True
    )


def test_a_head_that_does_not_fit_the_task_is_refused(tiny: BuiltModel) -> None:
    with pytest.raises(ValidationError, match=r"graph.head.kind: sequence_classification does not fit task NamedEntityRecognition"):
        ModelManifest.model_validate({**written(tiny), "task": "NamedEntityRecognition", "graph": sequence()})


@pytest.mark.parametrize(
    ("outputs", "per_token", "head"),
    [
        ({"logits": ("rows", 2)}, False, SequenceClassificationHead(labels=["a", "b"], problem_type=SINGLE)),
        ({"logits": ("rows", "tokens", 2)}, True, TokenClassificationHead(labels=["O", "B-A"])),
        (
            {"start_logits": ("rows", "tokens"), "end_logits": ("rows", "tokens")},
            True,
            QuestionAnsweringHead(doc_stride=16, no_answer=False),
        ),
    ],
)
def test_a_head_names_the_outputs_of_its_graph(outputs: dict[str, Any], per_token: bool, head: EncoderHead) -> None:
    assert (head.outputs, head.per_token) == (outputs, per_token)


def test_the_server_has_each_head_and_each_belongs_to_a_task() -> None:
    assert {task.head for task in TASKS.values()} == {*HEADS, None} == {*get_args(HeadKind), None}
