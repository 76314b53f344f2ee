"""YAML, one ``_base_`` and ``-o a.b=c`` become a :class:`lungdx_paddle.settings.Config`.

An unknown key is an error that names the nearest known one; a value that is not legal
is an error that says which are.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.files import write_text
from lungdx_paddle.settings import Config

SHIPPED_CONFIGS = Path(__file__).with_name("configs")
if not SHIPPED_CONFIGS.is_dir():  # in a checkout they lie beside the package
    SHIPPED_CONFIGS = Path(__file__).parent.with_name("configs")


def find_config(name: str | Path) -> Path:
    """The file of a config that is named ``best``, ``best.yaml`` or ``configs/best.yaml``.

    It is looked for in the working directory, in its ``configs/`` and among those of the
    package, in this order.  Where there is none, the name itself comes back.
    """
    path = Path(name)
    folders = [path.parent]
    if path.parent in (Path(), Path("configs")):
        folders = [path.parent, Path("configs"), SHIPPED_CONFIGS]
    files = [folder / file for folder in folders for file in (path.name, f"{path.name}.yaml")]
    return next((file for file in files if file.is_file()), path)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file (see :func:`find_config`), its ``_base_`` and then ``a.b=c`` overrides.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value not legal.
    """
    path = find_config(path)
    values = _read_with_base(path)
    values.setdefault("name", path.stem)
    return with_overrides(_build(Config, values, str(path), ""), overrides)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """The config with ``a.b=c`` settings changed.

    Raises:
        ConfigError: a key is unknown or a value not legal.
    """
    for override in overrides:
        config = _override(config, override)
    return config


def save_config(config: Config, path: str | Path) -> None:
    """Write every setting as YAML that :func:`load_config` reads back to an equal config.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(Path(path), yaml.safe_dump(_plain(config), sort_keys=False))


def config_from_dict(values: Mapping[str, Any], where: str) -> Config:
    """Build a config from nested plain values, checked like a file.

    Raises:
        ConfigError: a key is unknown or a value not legal.
    """
    return _build(Config, values, where, "")


def differences(before: Config, now: Config) -> list[str]:
    """What differs between two configs, key by key: ``seed is 1 instead of 0``."""
    return [
        f"{key} is {_look_up(now, key)} instead of {_look_up(before, key)}"
        for key in _all_keys(Config)
        if _look_up(now, key) != _look_up(before, key)
    ]


def config_to_dict(config: Config) -> dict[str, Any]:
    """The config as nested plain values, as they stand in YAML."""
    return _plain(config)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _read_with_base(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    values = _read_yaml(path)
    base = values.pop("_base_", None)
    if base is None:
        return values
    if path.resolve() in seen:
        raise ConfigError(
            str(path),
            expected="a chain of _base_ files that ends",
            found="this file again",
            fix="remove one _base_ line",
        )
    below = _read_with_base(path.parent / str(base), (*seen, path.resolve()))
    below.pop("name", None)
    return _merge(below, values)


def _read_yaml(path: Path) -> dict[str, Any]:
    found = ""
    values: Any = None
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        found = str(error.strerror)
    except UnicodeDecodeError:
        found = "bytes that are not UTF-8"
    except yaml.YAMLError as error:
        found = " ".join(str(error).split())
    values = {} if values is None else values
    if not found and not isinstance(values, dict):
        found = f"a {type(values).__name__}"
    if found:
        raise ConfigError(
            str(path),
            expected="a YAML file of keys and values",
            found=found,
            fix="give a file, or one of "
            + ", ".join(sorted(file.stem for file in SHIPPED_CONFIGS.glob("*.yaml"))),
        )
    return dict(values)


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _override(config: Config, override: str) -> Config:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(
            f"-o {override}",
            expected="KEY=VALUE",
            found=repr(override),
            fix="write for example -o train.steps=200",
        )
    try:
        value = yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        value = text
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return _build(Config, _merge(_plain(config), nested), f"-o {override}", "")


def _build(kind: type[Any], values: Any, where: str, prefix: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{where}, {prefix.rstrip('.')}",
            expected="keys and values",
            found=repr(values),
            fix=f"indent its keys below it: {', '.join(f.name for f in dataclasses.fields(kind))}",
        )
    known = {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        if key not in known:
            raise _unknown_key(f"{prefix}{key}", where)
    types = get_type_hints(kind)
    built: dict[str, Any] = {}
    for key, value in values.items():
        if dataclasses.is_dataclass(types[key]):
            built[key] = _build(types[key], value, where, f"{prefix}{key}.")
        else:
            built[key] = _value(types[key], value, known[key], f"{where}, {prefix}{key}")
    return kind(**built)


def _unknown_key(key: str, where: str) -> ConfigError:
    every = _all_keys(Config)
    near = difflib.get_close_matches(key, every, n=1, cutoff=0.0)
    leaf = key.rsplit(".", 1)[-1]
    same_leaf = [name for name in every if name.rsplit(".", 1)[-1] == leaf]
    return ConfigError(
        where,
        expected="a known key",
        found=f"'{key}'",
        fix=f"the nearest is '{(same_leaf or near)[0]}'",
    )


def _all_keys(kind: type[Any], prefix: str = "") -> Sequence[str]:
    keys: list[str] = []
    for name, annotation in get_type_hints(kind).items():
        if dataclasses.is_dataclass(annotation):
            keys += _all_keys(annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            keys.append(f"{prefix}{name}")
    return keys


def _look_up(config: Config, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def _value(kind: Any, value: Any, known: dataclasses.Field[Any], where: str) -> Any:
    converted = _convert(kind, value)
    if converted is None or not _is_legal(converted, known.metadata):
        raise ConfigError(
            where,
            expected=_expectation(kind, known.metadata),
            found=repr(value),
            fix="give it such a value",
        )
    return converted


def _convert(kind: Any, value: Any) -> Any | None:
    if kind is str:
        return "" if value is None else value if isinstance(value, str) else None
    if kind is bool:
        return value if isinstance(value, bool) else None
    if kind is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if kind is float:
        return _convert_float(value)
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        return tuple(dict.fromkeys(value))
    return None


def _convert_float(value: Any) -> float | None:
    # PyYAML follows YAML 1.1, where 1e-4 without a dot is a text.
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_legal(value: Any, rules: Mapping[str, Any]) -> bool:
    if "choices" in rules:
        chosen = value if isinstance(value, tuple) else (value,)
        return all(part in rules["choices"] for part in chosen)
    return (
        value > rules.get("above", -math.inf)
        and value >= rules.get("from", -math.inf)
        and value < rules.get("below", math.inf)
        and value <= rules.get("up_to", math.inf)
        if rules
        else True
    )


def _shown(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _expectation(kind: Any, rules: Mapping[str, Any]) -> str:
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    if "choices" in rules:
        few = "one of" if kind in names else "a list of some of"
        return f"{few} {', '.join(rules['choices'])}"
    words = {"above": "above", "from": "from", "below": "below", "up_to": "up to"}
    limits = [f"{words[rule]} {_shown(limit)}" for rule, limit in rules.items()]
    return " ".join([names.get(kind, "a list of texts"), *limits])
