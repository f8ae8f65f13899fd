"""The capability tables: names stand once, types and facts follow from them."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from tunewright.api.v1alpha1.method import MethodSpec
from tunewright.api.v1alpha1.pod_settings import ACCELERATOR_RESOURCES
from tunewright_contract.capabilities.data_formats import DATA_FORMATS
from tunewright_contract.capabilities.execution_providers import EXECUTION_PROVIDERS
from tunewright_contract.capabilities.methods import METHODS
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS, QUANTIZATIONS, TRAINING_PRECISIONS
from tunewright_contract.capabilities.table import OneOf, Row, Table
from tunewright_contract.capabilities.tasks import TASKS, tasks_of
from tunewright_contract.capabilities.tuners import LORA_STARTS, TUNERS, dora_works, lora_start
from tunewright_contract.trainer_config import MethodConfig

FRUIT = Table(Row(name="apple"), Row(name="durian", supported=False), Row(name="pear"), instead="Take an apple.")
TABLES = {
    "tasks": TASKS,
    "tuners": TUNERS,
    "methods": METHODS,
    "data formats": DATA_FORMATS,
    "execution providers": EXECUTION_PROVIDERS,
    "optimizers": OPTIMIZERS,
    "quantizations": QUANTIZATIONS,
    "lora starts": LORA_STARTS,
    "training precisions": TRAINING_PRECISIONS,
    "export precisions": EXPORT_PRECISIONS,
}


class Marked(BaseModel):
    fruit: Annotated[str, OneOf(FRUIT.names)] = "apple"


class Spelled(BaseModel):
    fruit: Literal["apple", "durian", "pear"] = "apple"


def test_a_table_keeps_its_order_and_lists_supported_rows():
    assert FRUIT.names == tuple(FRUIT) == ("apple", "durian", "pear")
    assert (FRUIT.supported, FRUIT.unsupported) == (("apple", "pear"), ("durian",))
    assert FRUIT.where(lambda row: "r" in row.name) == ("durian", "pear")
    assert len(FRUIT) == 3
    assert FRUIT["pear"].name == "pear"


def test_a_repeated_name_is_refused():
    with pytest.raises(ValueError, match="stands twice"):
        Table(Row(name="apple"), Row(name="apple"))


def test_a_marked_field_validates_like_a_literal():
    assert Marked.model_json_schema()["properties"] == Spelled.model_json_schema()["properties"]
    errors = []
    for model in (Marked, Spelled):
        with pytest.raises(ValidationError) as caught:
            model(fruit="plum")
        errors.append([(error["type"], error["msg"], error["ctx"]) for error in caught.value.errors()])
    assert errors[0] == errors[1]


@pytest.mark.parametrize("name", TABLES)
def test_each_table_has_a_supported_row_and_a_way_out_for_the_others(name):
    table = TABLES[name]
    assert table.supported
    assert bool(table.instead) == bool(table.unsupported)


def test_settings_of_tuners_and_methods_are_fields_of_method():
    named = {row.settings for table in (TUNERS, METHODS) for row in table.values()} - {None}
    assert named <= set(MethodSpec.model_fields)


def test_each_supported_adapter_has_its_arguments_in_the_trainers_configuration():
    assert {TUNERS[name].settings for name in TUNERS.supported} - {None} <= set(MethodConfig.model_fields)


def test_tasks_and_formats_agree():
    assert {name for task in TASKS.supported for name in TASKS[task].formats} == set(DATA_FORMATS.supported)
    assert all(TASKS[name].formats and TASKS[name].routes for name in TASKS.supported)
    assert tasks_of("promptCompletion") == ("ChatCompletion", "TextGeneration", "Translation", "Summarization")
    assert tasks_of("text") == ("TextGeneration",)


def test_no_two_supported_formats_are_recognised_by_the_same_columns():
    columns = [DATA_FORMATS[name].columns for name in DATA_FORMATS.supported]
    assert len(set(columns)) == len(columns)


def test_devices_of_providers_are_accelerators():
    assert {row.device for row in EXECUTION_PROVIDERS.values()} - {None} <= set(ACCELERATOR_RESOURCES)


def test_the_fallback_of_a_precision_is_wider():
    assert all(row.wider is None or (EXPORT_PRECISIONS[row.wider].bits or 32) > (row.bits or 32) for row in EXPORT_PRECISIONS.values())


@pytest.mark.parametrize(("works", "quantized", "stage"), [(True, False, 3), (True, True, 2), (True, True, None), (False, True, 3)])
def test_dora_needs_whole_weights(works, quantized, stage):
    assert dora_works(quantized=quantized, stage=stage) is works


@pytest.mark.parametrize(
    ("value", "stages", "on_quantized"),
    [(True, (0, 1, 2, 3), True), ("olora", (0, 1, 2, 3), True), ("pissa_niter_16", (0, 1, 2), False), ("loftq", (0, 1, 2), True)],
)
def test_the_start_of_an_adapter_determines_where_it_works(value, stages, on_quantized):
    start = lora_start(value)
    assert (start.zero_stages, start.on_quantized) == (stages, on_quantized)


@pytest.mark.parametrize("name", TABLES)
def test_every_name_is_valid_by_itself(name):
    adapter = TypeAdapter(Annotated[str, OneOf(TABLES[name].names)])
    assert [adapter.validate_python(each) for each in TABLES[name]] == list(TABLES[name])
