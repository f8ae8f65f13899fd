"""One row for each kind of graph that this server runs: how a model is loaded, and which routes answer for it.

The kind is `graph.kind` of the model's manifest. A new kind is a row here, its engine, and its routes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tunewright_contract import environment
from tunewright_contract.capabilities.tasks import CLASSIFY_ROUTES, QUESTION_ROUTES, TAG_ROUTES
from tunewright_contract.folders import MANIFEST_NAME
from tunewright_server.decoders import load_decoder
from tunewright_server.encoders import load_encoder
from tunewright_server.http import classify, openai, question_answering, token_classification
from tunewright_server.http.app import Handler
from tunewright_server.model_folder import ModelFolder
from tunewright_server.refusal import RefusalError
from tunewright_server.sequence_to_sequence import load_sequence_to_sequence
from tunewright_server.served import ServedModel


@dataclass(frozen=True, kw_only=True)
class GraphKind:
    """`load` verifies, loads and tries a model; see `load_decoder`. `routes` take POST."""

    load: Callable[..., ServedModel]
    routes: Mapping[str, Handler]


GRAPH_KINDS: dict[str, GraphKind] = {
    "decoder": GraphKind(
        load=load_decoder,
        routes={"/v1/chat/completions": openai.chat_completions, "/v1/completions": openai.completions},
    ),
    # Each head has routes of its own; a model answers on those of its task.
    "encoder": GraphKind(
        load=load_encoder,
        routes={
            **dict.fromkeys(CLASSIFY_ROUTES, classify.classify),
            **dict.fromkeys(TAG_ROUTES, token_classification.token_classification),
            **dict.fromkeys(QUESTION_ROUTES, question_answering.find),
        },
    ),
    "sequence_to_sequence": GraphKind(load=load_sequence_to_sequence, routes={"/v1/completions": openai.completions}),
}


def routes_of_kinds() -> dict[str, Handler]:
    """Return the handler of each path. Kinds that share a path share its handler, which finds the model and so the kind."""
    return {path: handler for kind in GRAPH_KINDS.values() for path, handler in kind.routes.items()}


def kind_of(folder: ModelFolder) -> GraphKind:
    """Raises `RefusalError` (64) for a kind of graph that this server does not run."""
    kind = folder.manifest.graph.kind
    if kind not in GRAPH_KINDS:
        raise RefusalError(
            "GraphUnsupported",
            f"{MANIFEST_NAME} of {folder.path} has a graph of kind {kind}, and this server runs {', '.join(GRAPH_KINDS)}",
            suggestion="use the server image of the release that exported the model",
        )
    return GRAPH_KINDS[kind]


def by_name(folders: Iterable[ModelFolder], *, only_name: str | None) -> dict[str, ModelFolder]:
    """Name each model: after its manifest, or `only_name`. Raises `RefusalError` (64) when two have one name."""
    named: dict[str, ModelFolder] = {}
    for folder in folders:
        name = only_name or folder.manifest.name
        if name in named:
            raise RefusalError(
                "ModelNameTaken",
                f"{named[name].path} and {folder.path} both hold a model named {name!r}",
                suggestion=f"leave one of them out of {environment.MODEL_DIRS}, or start one server for each",
            )
        named[name] = folder
    return named
