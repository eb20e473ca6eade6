"""Wrong and half-right command lines, with what the one line must say. The folder is that of ``made_folder``."""

import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

PAIRS, FEATURES, ARCHIVE = "earlier/pairs", "earlier/features", "earlier/archive"
_FIT = f"mcmfh fit --config experiments/mcmfh.yaml --data.root {FEATURES} --run-dir run"
_TABLE = "mcmfh-data manifest --images films --out new"
_MANIFEST = f"{_TABLE} --manifest table.csv"
_BUILD = f"mcmfh-archive build new --features {FEATURES} --checkpoint"
_SEARCH = f"mcmfh-archive search {ARCHIVE}"
_RANK = "mcmfh-bench rank --query codes.npz --database codes.npz"
_SWEEP = "mcmfh-bench sweep sweeps/experts_bits.yaml"

WRONG: Mapping[str, tuple[str, str]] = {
    # --- mcmfh ---------------------------------------------------------------------------------------------------
    "no command": ("mcmfh", "the command is missing: choose one of demo, init, fit"),
    "misspelled command": ("mcmfh fitt", "there is no command 'fitt'"),
    "nearest command": ("mcmfh fitt", "did you mean 'fit'?"),
    "option before the command": (
        "mcmfh --config experiments/mcmfh.yaml fit",
        "the command comes first: mcmfh fit --config ...",
    ),
    "option without a command": ("mcmfh --data.root x", "the command comes first: choose one of demo"),
    "misspelled option of the program": ("mcmfh --hlep", "did you mean '--help'?"),
    "option as a command": ("mcmfh install-completion", "did you mean '--install-completion'?"),
    "misspelled shell": ("mcmfh --install-completion --shell tcsh", "--shell 'tcsh' is not one of bash, zsh, fish"),
    "no such shell": ("mcmfh --install-completion tcsh", "SHELL 'tcsh' is not one of bash, zsh, fish"),
    "no such shell, equals": ("mcmfh --install-completion=tcsh", "SHELL 'tcsh' is not one of bash, zsh, fish"),
    "no such shell, data": ("mcmfh-data --install-completion tcsh", "SHELL 'tcsh' is not one of bash, zsh, fish"),
    "no such shell, bench": ("mcmfh-bench --install-completion=tcsh", "SHELL 'tcsh' is not one of bash, zsh, fish"),
    "no such shell, archive": ("mcmfh-archive --install-completion tcsh", "SHELL 'tcsh' is not one of bash, zsh, fish"),
    "two shells": ("mcmfh --install-completion tcsh --shell bash", "'tcsh' belongs to no option"),
    "one hyphen in the completion": ("mcmfh-data --install-completion -x", "'-x' belongs to no option"),
    "misspelled option of the completion": ("mcmfh --install-completion --shel zsh", "did you mean '--shell'?"),
    "completion in a folder": (
        "mcmfh-data --install-completion --shell zsh --out films",
        "films: Is a directory: name a file",
    ),
    "completion without permission": (
        "mcmfh-bench --install-completion --shell fish --out /proc/x/y",
        "check the path",
    ),
    "demo, misspelled option": ("mcmfh demo --otu x", "--otu is not an option of mcmfh demo"),
    "demo, no value": ("mcmfh demo --out", "--out needs a value; help: mcmfh demo --help"),
    "demo, no option": ("mcmfh demo films", "'films' belongs to no option"),
    "demo, folder in use": ("mcmfh demo --out films", "films is not an empty folder: delete it, or pass another --out"),
    "demo, below a file": ("mcmfh demo --out table.csv/demo", "table.csv is a file; name a folder by --out"),
    "init, nothing": ("mcmfh init", "--manifest and --images are missing; help: mcmfh init --help"),
    "init, no images": ("mcmfh init --manifest table.csv", "--images is missing"),
    "init, misspelled option": (
        "mcmfh init --manifest table.csv --image films",
        "--image is not an option of mcmfh init; did you mean '--images'?",
    ),
    "init, no such table": (
        "mcmfh init --manifest Zoë.csv --images films",
        "Zoë.csv: cannot be read (No such file or directory); correct --manifest",
    ),
    "init, empty table": ("mcmfh init --manifest empty.csv --images films", "empty.csv: empty file"),
    "init, no such encoder": (
        "mcmfh init --manifest table.csv --images films --encoder clip",
        "--encoder 'clip' is not one of offline, biomedclip",
    ),
    "init, existing file": (
        "mcmfh init --manifest table.csv --images films --out text.yaml",
        "text.yaml exists: pass --force to replace it, or another --out",
    ),
    # --- fit, validate, test, predict ----------------------------------------------------------------------------
    "fit, nothing": ("mcmfh fit", "--config is missing: pass an experiment such as experiments/query_towers.yaml"),
    "fit, no value": ("mcmfh fit --config", "--config needs a value"),
    "fit, no such config": (
        "mcmfh fit --config experiments/mcmhf.yaml",
        "--config: there is no file experiments/mcmhf.yaml, here or among the configs of the package; did you mean "
        "'experiments/mcmfh.yaml'",
    ),
    "fit, config without an ending": ("mcmfh fit --config Zoé", "--config: there is no file Zoé"),
    "fit, folder as a config": ("mcmfh fit --config films", "--config films is a folder: name a YAML file"),
    "fit, empty config": ("mcmfh fit --config empty.yaml", "--config empty.yaml is empty: name a YAML file of options"),
    "fit, table as a config": ("mcmfh fit --config table.csv", "--config table.csv holds no options: name a YAML file"),
    "fit, broken config": ("mcmfh fit --config broken.yaml", "broken.yaml is not YAML: "),
    "fit, place in a config": ("mcmfh fit --config broken.yaml", "line 2"),
    "fit, config of another program": (
        "mcmfh fit --config foreign.yaml",
        "a config sets what is not an option: --version",
    ),
    "fit, misspelled key": (
        "mcmfh fit --config key.yaml",
        "a config sets what is not an option: --run-di; did you mean '--run-dir'?",
    ),
    "fit, misspelled option": (f"{_FIT} --run_dr x", "there is no option --run-dr; did you mean '--run-dir'?"),
    "fit, option of the model": (
        f"{_FIT} --model.num-bit 3",
        "MCMFH has no option --model.num-bit; did you mean '--model.num-bits'?",
    ),
    "fit, option of the data": (
        f"{_FIT} --data.batch-size 8",
        "FeatureDataModule has no option --data.batch-size; did you mean '--data.global-batch-size'?",
    ),
    "fit, abbreviated option": (
        f"{_FIT} --trainer.max-ep 1",
        "there is no option --trainer.max-ep; did you mean '--trainer.max-epochs'",
    ),
    "fit, one hyphen": ("mcmfh fit -x", "there is no option -x "),
    "fit, no value of the model": (f"{_FIT} --model.num-bits", "--model.num-bits needs a value"),
    "fit, wrong type": (f"{_FIT} --model.num-bits=ten", "--model.num-bits: expected a whole number, got ten"),
    "fit, misspelled choice": (
        f"{_FIT} --model.supervision label",
        "--model.supervision: expected one of pairs, labels, got label; did you mean 'labels'?",
    ),
    "fit, misspelled class": (f"{_FIT} --model MCMFHH", "--model: there is no class MCMFHH; did you mean 'MCMFH'?"),
    "fit, two values": (f"{_FIT} a", "'a' belongs to no option: a value follows its option"),
    "fit, list in brackets": (f"{_FIT} --data.root '[a, b]'", "--data.root: expected a text, got [a, b]"),
    "fit, value out of range": (f"{_FIT} --model.num-bits 0", "--model.num-bits=0 is less than 1"),
    "fit, value that the trainer refuses": (f"{_FIT} --trainer.max_epochs=-3", "--trainer.max-epochs must be"),
    "fit, negative seed": (
        f"{_FIT} --seed-everything -1",
        "--seed-everything: -1 is not in bounds; pass a whole number",
    ),
    "fit, large seed": (f"{_FIT} --seed-everything 99999999999999999999", "pass a whole number from 0 to 4294967295"),
    "fit, no such data": (f"{_FIT} --data.root Zoë", "Zoë/dataset.json does not exist: is Zoë the folder"),
    "fit, file as data": (f"{_FIT} --data.root table.csv", "table.csv/dataset.json does not exist"),
    "fit, pairs as features": (f"{_FIT} --data.root {PAIRS}", "encode it with `mcmfh predict` first"),
    "fit, run in a file": (f"{_FIT} --run-dir table.csv", "table.csv/fit cannot be written to (Not a directory)"),
    "fit, too few pairs": (
        f"{_FIT} --data.global-batch-size 256",
        "fewer than one global batch of 256: lower global_batch_size (--data.global-batch-size), for example to 2",
    ),
    "validate, no run": (_FIT.replace("fit", "validate", 1), "run/fit/checkpoints/best.ckpt does not exist: pass the"),
    "test, no such checkpoint": (
        f"{_FIT.replace('fit', 'test', 1)} --ckpt-path Zoë.ckpt",
        "Zoë.ckpt does not exist: pass a checkpoint that `mcmfh fit` wrote",
    ),
    "predict, misspelled option": (
        "mcmfh predict --config experiments/encode_offline.yaml --model.output-dr x",
        "FeatureExtractor has no option --model.output-dr; did you mean '--model.output-dir'?",
    ),
    # --- mcmfh-data ----------------------------------------------------------------------------------------------
    "data, no command": ("mcmfh-data", "which command? There are manifest, openi"),
    "data, misspelled command": ("mcmfh-data maniffest", "did you mean 'manifest'?"),
    "data, option first": ("mcmfh-data --out x manifest", "the command comes first: mcmfh-data manifest --out ..."),
    "manifest, nothing": ("mcmfh-data manifest", "--manifest, --images and --out are missing"),
    "manifest, no option": ("mcmfh-data manifest table.csv", "'table.csv' belongs to no option"),
    "manifest, no such table": (f"{_TABLE} --manifest nowhere.csv", "nowhere.csv: cannot be read"),
    "manifest, folder": (f"{_TABLE} --manifest films", "films: manifests end in .csv, .tsv, .jsonl or .parquet"),
    "manifest, empty": (f"{_TABLE} --manifest empty.csv", "empty.csv: empty file; its first row names the columns"),
    "manifest, spreadsheet": (f"{_TABLE} --manifest table.xlsx", "save it as one of these"),
    "manifest, Latin-1": (f"{_TABLE} --manifest latin.csv", "is not utf-8"),
    "manifest, semicolons": (f"{_TABLE} --manifest semicolons.csv", "--delimiter ';'"),
    "manifest, broken lines": (f"{_TABLE} --manifest broken.jsonl", "broken.jsonl, row 1: not JSON"),
    "manifest, no images": (f"{_MANIFEST} --images nowhere", "--images takes one value and is given several times"),
    "manifest, no such column": (
        f"{_MANIFEST} --labels-column Befund-Ödem",
        "no column 'Befund-Ödem' (has 'id', 'image', 'text', 'labels', 'group'); correct --labels-column",
    ),
    "manifest, list in brackets": (
        f"{_MANIFEST} --label-columns '[labels, text]'",
        "repeat --label-columns for several values: --label-columns labels --label-columns text",
    ),
    "manifest, list with blanks": (
        f"{_MANIFEST} --label-columns labels text",
        "repeat --label-columns for several values: --label-columns labels --label-columns text",
    ),
    "manifest, options that exclude each other": (
        f"{_MANIFEST} --no-labels --labels-column x",
        "--no-labels reads no labels; leave out the options that say where they are",
    ),
    "manifest, misspelled choice": (f"{_MANIFEST} --split-by dat", "did you mean 'date'?"),
    "manifest, shares": (f"{_MANIFEST} --resplit 80/10", "write three percentages that sum to 100"),
    "manifest, part of a number": (f"{_MANIFEST} --seed 1.5", "--seed '1.5' is not a whole number"),
    "manifest, one of two numbers": (f"{_MANIFEST} --value-range 0", "--value-range takes two numbers, such as"),
    "manifest, no such encoding": (f"{_MANIFEST} --encoding latin9000", "correct --encoding"),
    "manifest, no list of labels": (
        f"{_MANIFEST} --drop-labels films",
        "--drop-labels films: cannot be read (Is a directory); correct the path",
    ),
    "manifest, output in a file": (
        "mcmfh-data manifest --manifest table.csv --images films --out table.csv",
        "table.csv is a file; name a folder by --out",
    ),
    "openi, half": ("mcmfh-data openi --out new --images films", "give both --reports and --images"),
    "openi, no reports": ("mcmfh-data openi --out new --reports empty --images films", "empty: holds no .xml file"),
    "openi, no archive": ("mcmfh-data openi --out new --reports table.csv --images films", "damaged archive"),
    "openi, splits": (
        "mcmfh-data openi --out new --reports empty --images films --split-by csv",
        "--split-by csv needs --splits",
    ),
    "roco, no root": ("mcmfh-data roco --out new", "--root is missing"),
    "roco, another folder": ("mcmfh-data roco --out new --root films", "give the folder of the roco-dataset"),
    "mimic-cxr, nothing": ("mcmfh-data mimic-cxr", "--out and --root are missing; help: mcmfh-data mimic-cxr --help"),
    "mimic-cxr, another name": ("mcmfh-data mimic --out new --root films", "did you mean 'mimic-cxr'?"),
    "mimic-cxr, no reports": (
        "mcmfh-data mimic-cxr --out new --root films",
        "films: has no folder files of reports; give the folder where mimic-cxr-reports.zip was unpacked by --reports",
    ),
    "rocov2, another folder": ("mcmfh-data rocov2 --out new --root films", "license_information.csv: no such table"),
    "padchest, no such folder": (
        "mcmfh-data padchest --out new --root nowhere",
        "give the folder that holds it by --root",
    ),
    "chexpert-plus, no such section": (
        "mcmfh-data chexpert-plus --out new --root films --labels impresions",
        "--labels 'impresions' is not one of impression, findings, report; did you mean 'impression'?",
    ),
    "chexpert-plus, shares": ("mcmfh-data chexpert-plus --out new --root films --resplit 80/10", "such as 80/10/10"),
    "phantom, no studies": ("mcmfh-data phantom --out new --studies 0", "--studies must be at least 1, got 0"),
    "phantom, negative seed": ("mcmfh-data phantom --out new --seed -1", "--seed must be at least 0, got -1"),
    "phantom, large seed": (
        "mcmfh-data phantom --out new --seed 99999999999999999999",
        "--seed 99999999999999999999 is too large a number; help: mcmfh-data phantom --help",
    ),
    "phantom, words": ("mcmfh-data phantom --out new --studies ten", "--studies 'ten' is not a whole number"),
    "phantom, folder in use": ("mcmfh-data phantom --out films", "choose another --out"),
    "join, nothing": ("mcmfh-data join", "FOLDER and --out are missing"),
    "join, one folder": (f"mcmfh-data join {PAIRS} --out new", "join needs two folders or more"),
    "relabel, nothing": ("mcmfh-data relabel", "FOLDER and --out are missing"),
    "relabel, no table": (f"mcmfh-data relabel {PAIRS} --out new", "pass --labels TABLE"),
    "stats, nothing": ("mcmfh-data stats", "FOLDER is missing"),
    "stats, file": ("mcmfh-data stats table.csv", "table.csv/dataset.json does not exist"),
    "stats, output in a file": (f"mcmfh-data stats {PAIRS} --out table.csv", "name a folder by --out"),
    "verify, no such folder": ("mcmfh-data verify 'Zoë 肺'", "Zoë 肺 is not a folder: give the one"),
    "export, nothing": ("mcmfh export", "RUN and --out are missing; help: mcmfh export --help"),
    "export, no checkpoint": (
        "mcmfh export films --out new",
        "films has no fit/checkpoints/best.ckpt: name the folder",
    ),
    "export, not a checkpoint": ("mcmfh export text.yaml --out new", "text.yaml cannot be read as a checkpoint"),
    "export, folder in use": ("mcmfh export earlier/hasher.ckpt --out films", "films is not an empty folder"),
    "export, no such encoder": ("mcmfh export earlier/hasher.ckpt --out new --encoder nowhere.yaml", "nowhere.yaml"),
    "export, int8 of nothing": (
        "mcmfh export earlier/hasher.ckpt --out new --from-features --int8",
        "--int8 quantizes the encoder, which --from-features leaves out: pass one of them",
    ),
    "export, misspelled option": (
        "mcmfh export earlier/hasher.ckpt --out new --feature",
        "--feature is not an option of mcmfh export; did you mean '--from-features'?",
    ),
    "verify, controls in a name": ("mcmfh-data verify 'a\x1b[2J\nb'", "error: a\ufffd[2J b is not a folder: give the"),
    "verify, two folders": (f"mcmfh-data verify {PAIRS} films", "'films' belongs to no option"),
    "verify, misspelled option": (f"mcmfh-data verify {PAIRS} --肺", "--肺 is not an option of mcmfh-data verify"),
    # --- mcmfh-archive -------------------------------------------------------------------------------------------
    "archive, no command": ("mcmfh-archive", "which command? There are build, add"),
    "archive, misspelled command": ("mcmfh-archive serch", "did you mean 'search'?"),
    "build, nothing": ("mcmfh-archive build", "ARCHIVE and --checkpoint are missing"),
    "build, no such checkpoint": (f"{_BUILD} nowhere.ckpt", "nowhere.ckpt: no such checkpoint"),
    "build, text as a checkpoint": (f"{_BUILD} text.yaml", "text.yaml cannot be read as a checkpoint"),
    "build, pickle as a checkpoint": (f"{_BUILD} pickle.ckpt", "pickle.ckpt cannot be read as a checkpoint"),
    "build, nothing to add": (
        "mcmfh-archive build new --checkpoint earlier/hasher.ckpt",
        "pass --features DIR, --pairs",
    ),
    "build, list in brackets": (
        f"{_BUILD} earlier/hasher.ckpt --splits '[train, val]'",
        "repeat --splits for several values: --splits train --splits val",
    ),
    "build, folder as an encoder": (f"{_BUILD} earlier/hasher.ckpt --encoder films", "films: Is a directory: name a"),
    "build, no such device": (f"{_BUILD} earlier/hasher.ckpt --device gpu", "--device gpu cannot be used here"),
    "build, device that computes nothing": (
        f"{_BUILD} earlier/hasher.ckpt --device meta",
        "--device meta cannot be used here (Cannot copy out of meta tensor; no data!): leave it out for cpu",
    ),
    "build, device of another torch": (
        f"{_BUILD} earlier/hasher.ckpt --device hpu",
        "--device hpu cannot be used here",
    ),
    "build, in a file": (
        f"mcmfh-archive build table.csv --features {FEATURES} --checkpoint earlier/hasher.ckpt",
        "table.csv: File exists: a file is in its place; choose another folder",
    ),
    "add, no archive": (f"mcmfh-archive add films --features {FEATURES}", "films holds no archive"),
    "add, misspelled option": (f"mcmfh-archive add {ARCHIVE} --feature x", "did you mean '--features'?"),
    "upsert, no data": (f"mcmfh-archive upsert {ARCHIVE} --features films", "films/dataset.json does not exist"),
    "search, several labels": (
        "mcmfh-archive search --id 'film 00' --any-labels normal opacity",
        "if it is one more value: repeat --any-labels for several values: --any-labels normal --any-labels opacity",
    ),
    "build, several splits": (
        f"mcmfh-archive build --features {FEATURES} --checkpoint earlier/hasher.ckpt --splits train test",
        "repeat --splits for several values: --splits train --splits test; help: mcmfh-archive build --help",
    ),
    "build, no data": (
        "mcmfh-archive build new --features data/features --checkpoint earlier/hasher.ckpt",
        "the folder a converter or `predict` wrote? `mcmfh-data manifest` makes pairs, `mcmfh predict` makes features",
    ),
    "reindex, no archive": ("mcmfh-archive reindex films", "films holds no archive"),
    "tag, no archive": ("mcmfh-archive tag films now", "films holds no archive"),
    "tags, no archive": ("mcmfh-archive tags films", "films holds no archive"),
    "restore, no archive": ("mcmfh-archive restore films now", "films holds no archive"),
    "compare, no queries": (f"mcmfh-archive compare {ARCHIVE} {ARCHIVE} --queries nowhere.txt", "nowhere.txt"),
    "switch, not a link": (f"mcmfh-archive switch films {ARCHIVE}", "films is not a link"),
    "delete, nothing": (f"mcmfh-archive delete {ARCHIVE}", "nothing to delete: pass --ids, --ids-file or --groups"),
    "delete, no value": (f"mcmfh-archive delete {ARCHIVE} --ids", "--ids needs a value"),
    "delete, list with blanks": (f"mcmfh-archive delete {ARCHIVE} --ids a b", "repeat --ids for several values"),
    "delete, no such group": (f"mcmfh-archive delete {ARCHIVE} --groups Zoë", "has no item of group 'Zoë'"),
    "delete, no list": (f"mcmfh-archive delete {ARCHIVE} --ids-file films", "(Is a directory); correct --ids-file"),
    "info, misspelled choice": (f"mcmfh-archive info {ARCHIVE} --format yaml", "is not one of table, json"),
    "archive, verify": ("mcmfh-archive verify Zoë", "Zoë holds no archive (archive.json is missing)"),
    "search, nothing": (_SEARCH, "what to search by: pass one of --text, --image and --id"),
    "search, two queries": (f"{_SEARCH} --text a --id b", "what to search by: pass one of --text, --image and --id"),
    "search, modality of a text": (f"{_SEARCH} --text a --modality image", "--modality chooses a code of an item"),
    "search, blanks": (f"{_SEARCH} --text left lung", "'lung' belongs to no option; put a value with blanks in quotes"),
    "search, no such item": (f"{_SEARCH} --id Zoë", "the archive has no item 'Zoë'"),
    "search, no such label": (f"{_SEARCH} --id 'film 00' --labels Ödem", "label 'Ödem' is unknown to the archive"),
    "search, list in brackets": (
        f"{_SEARCH} --id 'film 00' --any_labels '[normal, 肺]'",
        "repeat --any_labels for several values: --any_labels normal --any_labels '肺'",
    ),
    "search, device that computes nothing": (f"{_SEARCH} --text a --device meta", "--device meta cannot be used here"),
    "search, large depth": (f"{_SEARCH} --id 'film 00' --k 99999999999999999999", "is too large a number"),
    "search, no depth": (f"{_SEARCH} --id 'film 00' --k 0", "--k 0 is less than 1"),
    "search, date": (f"{_SEARCH} --id 'film 00' --since 2011-13-01", "--since '2011-13-01' is not a date"),
    "search, dates": (
        f"{_SEARCH} --id 'film 00' --since 2012-01-01 --until 2011-01-01",
        "--since 2012-01-01 is after --until 2011-01-01",
    ),
    "search, page without a name": (f"{_SEARCH} --id 'film 00' --format html", "name it by --out"),
    "search, page in a folder": (f"{_SEARCH} --id 'film 00' --format html --out films", "films: Is a directory: name"),
    "search, page nowhere": (
        f"{_SEARCH} --id 'film 00' --out nowhere/x",
        "nowhere/x: No such file or directory: check",
    ),
    "serve, device that computes nothing": (
        f"mcmfh-archive serve {ARCHIVE} --device meta",
        "--device meta cannot be used here",
    ),
    "serve, no such model": (f"mcmfh-archive serve {ARCHIVE} --model films", "films is not an exported model"),
    "search, device of a model": (
        f"{_SEARCH} --text a --model films --device cuda",
        "an exported model runs on the cpu, leave it out",
    ),
    "serve, port": (f"mcmfh-archive serve {ARCHIVE} --port 99999", "choose another --host or --port"),
    "serve, without a token": (f"mcmfh-archive serve {ARCHIVE} --host 0.0.0.0", "give a token (--token-file"),
    "serve, synonyms": (
        f"mcmfh-archive serve {ARCHIVE} --synonyms nowhere.yaml",
        "synonyms nowhere.yaml cannot be read",
    ),
    "serve, two of a name": (f"mcmfh-archive serve {ARCHIVE} other/{ARCHIVE}", "are both called"),
    "serve, name of no address": (f"mcmfh-archive serve {ARCHIVE} a/api", "cannot be part of an address"),
    "serve, access log": (f"mcmfh-archive serve {ARCHIVE} --access-log nowhere/x", "choose another --access-log"),
    "serve, no token": (f"mcmfh-archive serve {ARCHIVE} --token-file films", "films cannot be read as a token"),
    # --- mcmfh-bench ---------------------------------------------------------------------------------------------
    "bench, no command": ("mcmfh-bench", "which command? There are rank, sweep, card, report"),
    "bench, former command": ("mcmfh-bench table x.yaml", "python benchmarks/table.py FILE"),
    "rank, nothing": ("mcmfh-bench rank", "give --query and --database, or one file with --all-directions"),
    "rank, misspelled option": ("mcmfh-bench rank --querry codes.npz", "did you mean '--query'"),
    "rank, pickle": (
        "mcmfh-bench rank --query objects.npz --database codes.npz",
        "objects would need pickle, which is never read",
    ),
    "rank, no codes": ("mcmfh-bench rank --query table.csv --database codes.npz", "files of codes end in .npz"),
    "rank, list in brackets": (f"{_RANK} --k '[5, 10]'", "repeat --k for several values: --k 5 --k 10"),
    "rank, list with blanks": (f"{_RANK} --k 5 10", "repeat --k for several values: --k 5 --k 10"),
    "rank, no depth": (f"{_RANK} --k 0", "--k must be at least 1, got 0"),
    "rank, large depth": (f"{_RANK} --k 99999999999999999999", "--k 99999999999999999999 is too large a number"),
    "rank, large seed": (f"{_RANK} --seed -99999999999999999999", "--seed -99999999999999999999 is too large a number"),
    "rank, part of a depth": (f"{_RANK} --k 10.7", "--k '10.7' is not a whole number"),
    "rank, no names": (f"{_RANK} --label-names Zoë", "Zoë: cannot be read (Is a directory); correct --label-names"),
    "rank, names of arrays": (f"{_RANK} --query-keys codes", "its parts do: --query-keys.codes"),
    "rank, no such array": (f"{_RANK} --query-keys.codes Köpfe", "has no Köpfe; it holds codes, labels"),
    "report, nothing": ("mcmfh-bench report", "RUN and --out are missing"),
    "report, no run": ("mcmfh-bench report Zoë --out a.html", "Zoë/test/metrics.json cannot be read"),
    "card, nothing": ("mcmfh-bench card", "RUN is missing"),
    "card, no run": ("mcmfh-bench card Zoë", "Zoë/test/metrics.json cannot be read (No such file or directory): pass"),
    "card, another file": ("mcmfh-bench card table.csv", "table.csv is not JSON"),
    "card, misspelled option": ("mcmfh-bench card films --uot x", "--uot is not an option of mcmfh-bench card"),
    "sweep, nothing": ("mcmfh-bench sweep", "FILE is missing"),
    "sweep, no such file": ("mcmfh-bench sweep Zoé.yaml", "Zoé.yaml: cannot be read (No such file or directory)"),
    "sweep, broken": ("mcmfh-bench sweep broken.yaml", "broken.yaml: not YAML"),
    "sweep, another file": ("mcmfh-bench sweep foreign.yaml", "unknown key 'version'"),
    "sweep, half of two": (f"{_SWEEP} --task 3", "--task and --tasks belong together"),
    "sweep, no jobs": (f"{_SWEEP} --jobs 0", "--jobs must be at least 1, got 0"),
}

PROJECTS: Mapping[str, tuple[str, str, str]] = {
    "not TOML": ("mcmfh-data verify", "[mcmfh-data.verify", "mcmfh.toml: not a project file"),
    "key twice": (
        "mcmfh-data manifest",
        '[mcmfh-data.manifest]\nid-column = "a"\nlabel-columns = ["Zoë"]\nlabel-columns = [\n  "a=b"\n]\n',
        "mcmfh.toml: not a project file (line 4 sets label-columns a second time); correct it, or remove it",
    ),
    "key twice at the end": (
        "mcmfh fit",
        "[mcmfh.fit]\ndata.root = 'a'\ndata.root = 'b'",
        "(line 3 sets data.root a second time)",
    ),
    "type": ("mcmfh-data verify", "[mcmfh-data.verify]\nfolder = 3", "folder = '3': a text in quotes"),
    "key": ("mcmfh-data verify", '[mcmfh-data.verify]\nfoldr = "Zoë"', "did you mean 'folder'?"),
    "folder": ("mcmfh-data verify", '[mcmfh-data.verify]\nfolder = "Zoë/肺"', "Zoë/肺 is not a folder"),
    "controls": (
        "mcmfh-data verify",
        '[mcmfh-data.verify]\nfolder = "\\u001b]0;PWNED\\u0007\\nx"',
        r"folder = '\x1b]0;PWNED\x07\nx': control characters are not read from a file; correct it, or pass --folder",
    ),
    "large number": (
        "mcmfh-archive serve",
        f"[mcmfh-archive.serve]\nport = {10**20}",
        "too large a number; correct it",
    ),
    "accelerator": (
        "mcmfh fit",
        '[mcmfh.fit]\ntrainer.accelerator = "{class_path: evil.E}"',
        "trainer.accelerator = '{class_path: evil.E}': one of auto, cpu, gpu, cuda, mps, tpu is expected",
    ),
    "output": (
        "mcmfh-data manifest",
        '[mcmfh-data.manifest]\nout = "."',
        "out = '.': not below the folder of the file",
    ),
    "table": ("mcmfh fit", "[mcmfh.fitt]", "did you mean 'fit'?"),
    "class": ("mcmfh fit", '[mcmfh.fit]\nmodel = "os.system"', "unknown key 'model'"),
    "config": ("mcmfh fit", '[mcmfh.fit]\nconfig = "broken.yaml"', "pass your own by --config broken.yaml"),
    "key of another": ("mcmfh-archive serve", '[mcmfh-archive.serve]\nhost = "0.0.0.0"', "unknown key 'host'"),
}
"""Command lines, the content of the project file, and what the line must say."""

HALF_RIGHT: Mapping[str, str] = {
    "help": "mcmfh-data manifest --help all",
    "underscores": f"{_SEARCH} --id 'film 00' --any_labels normal --has_text true",
    "equals": f"{_SEARCH} --id='film 00' --k=3 --has-text=false",
    "option instead of a place": f"mcmfh-data verify --folder {PAIRS}",
    "option before the place": f"mcmfh-archive search --k 3 --id 'film 00' {ARCHIVE}",
    "the former name": f"mcmfh-archive info {ARCHIVE} --json",
    "shell without its option": "mcmfh-data --install-completion fish --out empty/fish",
    "shell behind an equals sign": "mcmfh --install-completion=zsh --out empty/zsh",
    "group with a name": f"{_SEARCH} --id 'film 00' --format json",
    "own labels": "mcmfh-data stats 'Zoë/pairs'",
    "own folder": "mcmfh-data verify 'Zoë/pairs'",
}
"""Command lines that work."""


def made_folder(folder: Path, earlier: Path) -> None:
    """Make what the command lines name: ``earlier`` is the archive of what an earlier version wrote."""
    with tarfile.open(earlier) as tar:
        tar.extractall(folder / "earlier", filter="data")
    for name in ("films", "empty", "Zoë"):
        (folder / name).mkdir()
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, format="PNG")
    texts = {
        "table.csv": "id,image,text,labels,group\n1,a.png,one,Zoë;肺,p1\n2,a.png,two,Ödem,p2\n",
        "semicolons.csv": "id;image;text;labels;group\n1;a.png;one;Zoë;p1\n",
        "empty.csv": "",
        "empty.yaml": "",
        "broken.jsonl": "{\n",
        "broken.yaml": "a: [1,\nb: {",
        "foreign.yaml": "version: 3\nservices: {}\n",
        "key.yaml": "run_di: x\n",
        "text.yaml": "hello",
    }
    np.savez(folder / "objects.npz", codes=np.array([{}], dtype=object), labels=np.eye(1))
    np.savez(folder / "codes.npz", codes=np.sign(np.random.default_rng(0).normal(size=(8, 16))), labels=np.eye(8, 4))
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {"latin.csv": "id,image,text,group\n1,a.png,Zoë,p\n".encode("latin-1"), "table.xlsx": b"PK\x03\x04"}
    contents |= {"films/a.png": picture.getvalue(), "pickle.ckpt": pickle.dumps({"a": 1})}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
