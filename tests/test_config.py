"""Settings: every shipped config loads, a wrong key or value is named with its remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle import runtime
from lungdx_paddle.config import differences, find_config, load_config, save_config
from lungdx_paddle.errors import ConfigError, OutputError
from lungdx_paddle.settings import Config, DataConfig

SITES = {
    "partial_soft": ("pool1", "pool2", "fc"),
    "partial_soft_dense": ("pool1", "pool2", "fc"),
    "single_task": (),
    "hard": ("trunk",),
    "soft": ("conv1", "pool1", "conv2", "pool2", "fc"),
    "best": ("pool1", "pool2", "fc"),
    "quick": ("pool1", "pool2", "fc"),
    "testing": ("pool1", "pool2", "fc"),
}


def test_every_shipped_config_is_known_here(configs: Path) -> None:
    assert {path.stem for path in configs.glob("*.yaml")} == set(SITES)


@pytest.mark.parametrize("name", sorted(SITES))
def test_the_methods_differ_in_their_sharing_sites(configs: Path, name: str) -> None:
    config = load_config(configs / f"{name}.yaml")
    assert config.sharing.sites == SITES[name]
    assert config.name == name
    assert config.output_folder == Path("output") / name


@pytest.mark.parametrize("name", ["best", "best.yaml", "configs/best.yaml"])
def test_a_config_is_found_by_name_in_the_working_directory_and_then_in_the_package(
    name: str, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best").mkdir()  # a folder of that name is no config
    assert find_config(name) == configs / "best.yaml"
    assert load_config(name).name == "best"
    (tmp_path / "configs").mkdir()
    own = tmp_path / "configs" / "best.yaml"
    own.write_text("_base_: soft.yaml\nseed: 5\n")
    (tmp_path / "configs" / "soft.yaml").write_text("train:\n  steps: 7\n")
    assert find_config(name).resolve() == own
    assert (load_config(name).seed, load_config(name).train.steps) == (5, 7)


def test_a_config_that_is_nowhere_keeps_its_name(tmp_path: Path) -> None:
    for name in ("no-such", "elsewhere/best.yaml", str(tmp_path / "best")):
        assert find_config(name) == Path(name)
    with pytest.raises(ConfigError, match="no-such: expected a YAML .* one of best, hard, partial"):
        load_config("no-such")


def test_the_default_config_says_what_the_defaults_are(configs: Path) -> None:
    assert load_config(configs / "partial_soft.yaml") == Config()


def test_a_saved_config_reads_back_equal(configs: Path, tmp_path: Path) -> None:
    config = load_config(configs / "soft.yaml", ["seed=7", "output=elsewhere"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("train.learning_rate=1e-4", 1e-4),  # PyYAML reads this as text
        ("train.learning_rate=.01", 0.01),
        ("data.manifest=a=b.csv", "a=b.csv"),
        ("data.manifest=", ""),
        ("sharing.sites=[]", ()),
        ("train.steps=3", 3),
        ("data.test_fraction=0.5", 0.5),
        ("data.split_seed=7", 7),
        ("train.to_static=True", True),
        ("sharing.sites=[fc, pool1, fc]", ("fc", "pool1")),
        ("output=2026-11-26", "2026-11-26"),  # PyYAML reads this as a date
        ("output=123", "123"),
        ("output=a: [b", "a: [b"),
        ("name=null", "null"),
        ("data.manifest=2026", "2026"),
        ("data.manifest=/a/~b", "/a/~b"),
    ],
)
def test_an_override_changes_one_setting(configs: Path, override: str, read: object) -> None:
    value: object = load_config(configs / "partial_soft.yaml", [override])
    for part in override.split("=")[0].split("."):
        value = getattr(value, part)
    assert value == read


@pytest.mark.parametrize(
    ("written", "read"),
    [("2026-11-26", "2026-11-26"), ("0123", "0123"), ("1e3", "1e3"), ("", ""), ("null", "")],
)
def test_a_text_in_a_file_is_taken_as_it_is_written(
    tmp_path: Path, written: str, read: str
) -> None:
    (tmp_path / "own.yaml").write_text(f"output: {written}\nseed: 3\n", encoding="utf-8")
    config = load_config(tmp_path / "own.yaml")
    assert (config.output, config.seed) == (read, 3)
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml").output == read


def test_a_tilde_is_the_home_folder(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(runtime, "_users_home", None)  # where none was replaced
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "own.yaml").write_text("output: ~/runs/one\n", encoding="utf-8")
    assert load_config(tmp_path / "own.yaml").output_folder == tmp_path / "runs" / "one"
    config = load_config(configs / "partial_soft.yaml", ["data.manifest=~/crops", "output=~"])
    assert Path(config.data.manifest) == tmp_path / "crops"
    assert config.output_folder == tmp_path


def test_overrides_that_need_each_other_may_come_in_any_order(configs: Path) -> None:
    for words in (["data.folds=5", "data.fold=2"], ["data.fold=2", "data.folds=5"]):
        assert load_config(configs / "partial_soft.yaml", words).data.fold == 2


def test_what_differs_between_two_configs_is_named_key_by_key() -> None:
    changed = replace(Config(seed=1), data=DataConfig(split="patient"))
    assert differences(Config(), Config()) == []
    assert differences(Config(), changed) == [
        "seed is 1 instead of 0",
        "data.split is patient instead of image",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.step=4", "found 'train.step'; the nearest is 'train.steps'"),
        ("steps=4", "found 'steps'; the nearest is 'train.steps'"),
        ("data.split=imge", "one of image, nodule, patient, found 'imge'"),
        ("train.steps=1.5", "train.steps: expected a whole number from 1, found 1.5"),
        ("train.steps=true", "a whole number from 1, found true"),
        ("train.steps=", "a whole number from 1, found nothing"),
        ("train.steps={a: 1}", "a whole number from 1"),
        ("train.to_static=1", "true or false, found 1"),
        ("train.steps=0", "from 1, found 0"),
        ("seed=4294967296", "from 0 up to 4294967295"),
        ("train.learning_rate=fast", "a number above 0"),
        ("train.learning_rate=.inf", "a number above 0"),
        ("data.test_fraction=1", "above 0 below 1"),
        ("sharing.cross_floor=0.7", "from 0 up to 0.5"),
        ("sharing.sites=[trunk, fc]", "trunk alone"),
        ("sharing.sites=pool1", "a list of some of"),
        ("train=3", "indent its keys below it"),
        ("train", "expected KEY=VALUE"),
        ("train.steps=!!int", "a whole number from 1, found !!int"),
        ("train.steps=1e400", "a whole number from 1, found 1e400"),
        (f"train.learning_rate={'9' * 400}", "a number above 0, found 9{400}; give"),
        (f"train.steps={'9' * 5000}", r"a whole number from 1, found 999.*\.\.\.999.*; give"),
        ("train.learning_rate=nan", "a number above 0, found nan"),
        ("data.folds=1000000000", "from 0 up to 1000"),
        (f"seed{'.a' * 9000}=1", "from 0 up to 4294967295, found {'a': {'a': "),
        (f"{'k' * 9000}=1", r"a known key, found 'kkk.*\.\.\.kkk.*the nearest is"),
        ("\u00ed=!!timestamp", "expected a known key, found 'í'"),
        ("output=a\0b", r"output: expected a path in UTF-8.*, found 'a\\x00b'; give"),
        ("output=\udcfc", r"output: expected a path in UTF-8.*, found '\\udcfc'; set LC_ALL=C.UTF"),
        ("output=~nobody-of-that-name/a", "output: expected a path .*found '~nobody"),
        ("name=\x1b[2J", r"name: expected a text in UTF-8 without control .*found '\\x1b\[2J'"),
    ],
)
def test_a_wrong_override_is_answered_with_the_remedy(
    configs: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(configs / "partial_soft.yaml", [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {splitt: image}", "the nearest is 'data.split'"),
        ("- a list", "found a list"),
        ("a: [", "expected a YAML file"),
        ("_base_: own.yaml", "this file again"),
        ("_base_: gone.yaml", "No such file"),
        ("_base_: /dev/zero", "/dev/zero: .*found a pipe, a socket or a device"),
        ("_base_: .", "Is a directory"),
        ('_base_: "a\\0b"', "a path that no file can have"),
        ("name: [&a [x], *a]", "found an anchor or an alias"),
        ("seed: 1\nseed: 2", "found the key 'seed' twice"),
        ("seed: !!int 3", "found a tag"),
        ("[" * 1000, "found more than 20 levels"),
        ("2026-13-45: 1mage", "a known key, found '2026-13-45'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_long_chain_of_files_ends(tmp_path: Path) -> None:
    for k in range(30):
        (tmp_path / f"{k}.yaml").write_text(f"_base_: {k + 1}.yaml\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"20.yaml: expected a chain .* that ends, found 20 file"):
        load_config(tmp_path / "0.yaml")


def test_a_name_that_no_file_can_have_is_no_config() -> None:
    for name, found in (("x" * 5000, "File name too long"), ("a\0b", "embedded null")):
        with pytest.raises(ConfigError, match=found):
            load_config(name)


def test_a_config_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        save_config(Config(), tmp_path / "gone" / "config.yaml")
