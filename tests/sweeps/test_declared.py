"""Files of declared runs: what they mean, and what is refused."""

import itertools
from datetime import date

import pytest
import yaml

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.declared import Run, read_runs, read_sweeps

SWEEP = {
    "name": "TwoTower",
    "program": "mcmfh",
    "method": "grid",
    "metric": {"name": "test/unimodal", "goal": "maximize"},
    "parameters": {
        "config": {"value": "experiments/two_tower.yaml"},
        "data.root": {"values": ["a", "b"]},
        "seed_everything": {"values": [0, 1, 2]},
        "model.num_bits": {"value": 16},
    },
}


def changed(**changes):
    return SWEEP | changes


def with_parameters(**parameters):
    return changed(parameters=SWEEP["parameters"] | {name.replace("__", "."): one for name, one in parameters.items()})


@pytest.fixture
def write(tmp_path):
    def write_documents(*documents):
        path = tmp_path / "table.yaml"
        path.write_text("---\n".join(yaml.safe_dump(document) for document in documents))
        return path

    return write_documents


def grid_of_wandb(parameters):
    """List the runs of W&B's grid search: a product over the parameters with `values`, equal values (as YAML) once."""
    values = {
        name: list({yaml.safe_dump(value): value for value in entry.get("values", [entry.get("value")])}.values())
        for name, entry in parameters.items()
    }
    return {
        yaml.safe_dump(dict(zip(values, chosen, strict=True)), sort_keys=True)
        for chosen in itertools.product(*values.values())
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"one": {"value": 3}},
        {"one": {"values": [1, 2, 3]}, "two": {"values": ["x", "y"]}, "three": {"value": None}},
        {"repeated": {"values": [1, 1, 1.0, True, "1"]}, "list": {"values": [[1, 2], [2, 1], [1, 2]]}},
        {"a.b.c": {"values": [0.0003, 0.001]}, "flag": {"values": [True, False]}, "mapping": {"value": {"x": 1}}},
    ],
)
def test_the_grid_is_that_of_wandb(write, parameters):
    (sweep,) = read_sweeps(write(changed(parameters=parameters)))
    runs = [yaml.safe_dump(run.parameters, sort_keys=True) for run in sweep.runs()]
    assert len(runs) == len(set(runs))
    assert set(runs) == grid_of_wandb(parameters)


def test_documents_in_their_order(write):
    runs = read_runs(write(SWEEP, with_parameters(model__d_model={"value": 8}) | {"name": "small"}))
    assert [run.system for run in runs] == ["TwoTower"] * 6 + ["small"] * 6
    assert runs[0].where.endswith("table.yaml: document 1 (TwoTower)")
    assert runs[0].flags() == [
        "--config=experiments/two_tower.yaml",
        "--data.root=a",
        "--model.num_bits=16",
        "--seed_everything=0",
    ]


def test_flags_are_written_as_the_command_line_reads_them(write):
    values = {"a": True, "b": None, "c": [1, 2], "d": 0.0003, "e": "text", "f": {"x": 1}}
    run = read_runs(write(with_parameters(**{name: {"value": value} for name, value in values.items()})))[0]
    given = dict(flag[2:].split("=", 1) for flag in run.flags())
    assert {name: given[name] for name in values} == {
        "a": "true",
        "b": "null",
        "c": "[1,2]",
        "d": "0.0003",
        "e": "text",
        "f": '{"x":1}',
    }


BAD = {
    "unknown key": ([changed(run_cap=3)], r"document 1: unknown key 'run_cap'"),
    "missing key": ([{k: v for k, v in SWEEP.items() if k != "method"}], r"document 1: lacks the key 'method'"),
    "no mapping": ([["a", "b"]], r"document 1: is list, not a mapping"),
    "second document": ([SWEEP, changed(name="")], r"document 2: name is ''"),
    "method": ([changed(method="bayes")], r"document 1 \(TwoTower\): method is 'bayes'; only grid is run"),
    "program": ([changed(program="train.py")], r"program is 'train.py'; only mcmfh is run"),
    "goal": ([changed(metric={"name": "test/x", "goal": "max"})], r"goal is 'max'; choose maximize or minimize"),
    "metric key": ([changed(metric={"name": "test/x", "goal": "maximize", "target": 1})], r"unknown key 'target'"),
    "metric name": ([changed(metric={"name": "mAP", "goal": "maximize"})], r"name is 'mAP'; begin it with val/"),
    "no parameters": ([changed(parameters={})], r"parameters is {}; give a mapping"),
    "empty values": ([with_parameters(model__votes={"values": []})], r"parameters: model.votes: values is \[\]"),
    "no list": ([with_parameters(model__votes={"values": 3})], r"parameters: model.votes: values is 3; list"),
    "distribution": ([with_parameters(model__votes={"min": 1, "max": 9})], r"parameters: model.votes: is .*; give"),
    "both": ([with_parameters(model__votes={"value": 1, "values": [1]})], r"parameters: model.votes: is .*; give"),
    "plain value": ([with_parameters(model__votes=3)], r"parameters: model.votes: is 3; give \{value: x\}"),
    "a date": ([with_parameters(x={"value": date(2020, 1, 1)})], r"parameters: x: .*date"),
    "infinite": ([with_parameters(x={"value": float("inf")})], r"parameters: x: .*give numbers"),
    "a dash": ([with_parameters(**{"--x": {"value": 1}})], r"'--x' is not the dotted name of a flag"),
    "no config": ([changed(parameters={"data.root": {"value": "a"}})], r"config is missing"),
    "no data": ([changed(parameters={"config": {"value": "a"}})], r"data.root is missing"),
    "bits": ([with_parameters(model__num_bits={"value": "16"})], r"model.num_bits must be whole numbers"),
    "seed": ([with_parameters(seed_everything={"value": True})], r"seed_everything must be whole numbers"),
    "the runner's": ([with_parameters(run_dir={"value": "x"})], r"run_dir is set by the runner"),
    "repeated": ([SWEEP, SWEEP], r"document 2 \(TwoTower\): declares a run of .*document 1 \(TwoTower\) again"),
    "one name for two": ([SWEEP, changed(name="Two-Tower"), changed(name="two tower")], r"declares a run of"),
    "one row": (
        [with_parameters(model__votes={"values": [1, 4]})],
        r"document 1 \(TwoTower\): two runs of one system, data, bits and seed differ by model.votes; give each",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(write, name):
    documents, pattern = BAD[name]
    with pytest.raises(DataError, match=rf"table.yaml: .*({pattern})"):
        read_runs(write(*documents))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("name: [", "table.yaml: not YAML .*line 1"),
        ("name: a\nname: b\n", "table.yaml: not YAML .key 'name' twice.* line 2"),
        ("", "table.yaml: holds no document"),
        ("name: \x00", "table.yaml: not YAML"),
        (None, "table.yaml: cannot be read"),
    ],
)
def test_files_that_are_refused(tmp_path, text, pattern):
    path = tmp_path / "table.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=pattern):
        read_runs(path)


def test_the_name_of_a_result_follows_its_parameters(write):
    """Neither the folder of the data nor the order of keys counts; all else does."""

    def name(run, data="openi", key="openi@1"):
        return run.name(data, key)

    run = read_runs(write(SWEEP))[0]
    moved = read_runs(write(changed(parameters=dict(reversed(SWEEP["parameters"].items())))))
    assert name(run) == name(next(one for one in moved if one.parameters["seed_everything"] == 0))
    elsewhere = next(one for one in read_runs(write(SWEEP)) if one.root == "b")
    assert name(run) == name(elsewhere)
    others = [
        with_parameters(model__d_model={"value": 8}),
        with_parameters(model__num_bits={"value": 32}),
        with_parameters(seed_everything={"value": 7}),
        changed(metric={"name": "val/mAP", "goal": "maximize"}),
        changed(name="other"),
    ]
    names = [name(read_runs(write(other))[0]) for other in others]
    assert len({name(run), name(run, key="openi@2"), *names}) == 7
    assert name(run).startswith("twotower-openi-16bit-seed0-")


@pytest.mark.parametrize("flag", ["model.quantisation_weight", "model.quantization_weight"])
def test_a_flag_that_was_renamed_names_the_same_run(flag):
    """Results that were made under the earlier name stay valid; this one was committed."""
    parameters = {
        "config": "experiments/ddbh.yaml",
        "data.root": "runs/openi/features",
        "seed_everything": 0,
        "model.num_bits": 16,
        "model.optimizer.init_args.lr": 0.0003,
        flag: 0.01,
    }
    name = Run("DDBH", "val/mAP", parameters).name("openi", "openi@6c701513ef31360a")
    assert name == "ddbh-openi-16bit-seed0-0317449b.json"
