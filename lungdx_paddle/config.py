"""Read a :class:`lungdx_paddle.settings.Config` from YAML, its ``_base_`` and ``-o a.b=c``."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import operator
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.files import UnreadableError, write_text
from lungdx_paddle.plain_yaml import DEEPEST, parse_yaml, read_yaml
from lungdx_paddle.runtime import expand_home
from lungdx_paddle.settings import Config

KINDS = {
    str: "a text in UTF-8 without control characters",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}
"""Kinds of settings but lists, and what an error calls them."""

LIMITS = {"above": operator.gt, "from": operator.ge, "below": operator.lt, "up_to": operator.le}
"""Limits of a number, as a setting's metadata name them."""


LONGEST_KEY = 80
"""Characters of an unknown key that are compared with the known ones, which have up to 22."""

LONGEST_CHAIN = 20
"""Files of which each is the ``_base_`` of the one before; ours have two."""

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
    # os.path.isfile: a name of 5000 characters is no file, too, and no OSError.
    return next((file for file in files if os.path.isfile(file)), path)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file (see :func:`find_config`), its ``_base_`` and then ``a.b=c`` overrides.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value not legal.
    """
    path = find_config(path)
    values = _read_with_base(path, ())
    values.setdefault("name", path.stem)
    return with_overrides(_build(Config, values, f"{path}, "), overrides)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """The config with ``a.b=c`` settings changed; a text is taken as it is written.

    Raises:
        ConfigError: a key is unknown or a value not legal.
    """
    values = dataclasses.asdict(config)
    texts = {key for key, value in _flat(values).items() if isinstance(value, str)}
    for override in overrides:
        nested: Any
        key, equals, nested = override.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"-o {override}",
                expected="KEY=VALUE",
                found=repr(override),
                fix="write for example -o train.steps=200",
            )
        if key not in texts:
            with contextlib.suppress(UnreadableError):  # then it stays a text
                nested = parse_yaml(nested)
        for part in reversed(key.split(".", DEEPEST)):
            nested = {part: nested}
        values = _merge(values, nested)
    return _build(Config, values, "-o ")


def save_config(config: Config, path: str | Path) -> None:
    """Write every setting as YAML that :func:`load_config` reads back to an equal config.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(Path(path), config_text(config))


def config_text(config: Config) -> str:
    """Every setting as YAML."""
    return str(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))


def differences(before: Config, now: Config) -> list[str]:
    """What differs between two configs, key by key: ``seed is 1 instead of 0``."""
    old, new = (_flat(dataclasses.asdict(config)) for config in (before, now))
    return [f"{key} is {new[key]} instead of {old[key]}" for key in old if new[key] != old[key]]


def overrides(before: Config, now: Config) -> list[str]:
    """The ``a.b=c`` that :func:`with_overrides` has to be given to turn one config into another."""
    old, new = (_flat(dataclasses.asdict(config)) for config in (before, now))
    changed = {key: value for key, value in new.items() if value != old[key]}
    return [
        f"{key}=[{', '.join(value)}]" if isinstance(value, tuple) else f"{key}={value}"
        for key, value in changed.items()
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to {dotted key: value}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, Mapping)
        flat.update(_flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value})
    return flat


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _read_with_base(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    found = ""
    try:
        values = read_yaml(path)
    except UnreadableError as error:
        found = str(error)
    else:
        values = {} if values is None else values
        if not isinstance(values, dict):
            found = f"a {type(values).__name__}"
    if found:
        raise ConfigError(
            str(path),
            expected="a YAML file of keys and values",
            found=found,
            fix="give a file, or one of "
            + ", ".join(sorted(file.stem for file in SHIPPED_CONFIGS.glob("*.yaml"))),
        )
    base = values.pop("_base_", None)
    if base is None:
        return values
    if path.resolve() in above or len(above) == LONGEST_CHAIN:
        raise ConfigError(
            str(path),
            expected="a chain of _base_ files that ends",
            found="this file again" if path.resolve() in above else f"{LONGEST_CHAIN} files",
            fix="remove one _base_ line",
        )
    below = _read_with_base(path.parent / str(base), (*above, path.resolve()))
    below.pop("name", None)
    return _merge(below, values)


def _build(kind: type[Any], values: Any, where: str, prefix: str = "") -> Any:
    """Make a settings dataclass of nested values.

    Args:
        kind: the dataclass.
        values: as YAML has them.
        where: beginning of an error's place, such as ``configs/best.yaml, ``.
        prefix: of the keys of ``kind``, such as ``train.``.
    """
    known = {f.name: f for f in dataclasses.fields(kind)}
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{where}{prefix.rstrip('.')}",
            expected="keys and values",
            found=repr(values),
            fix=f"indent its keys below it: {', '.join(known)}",
        )
    types = get_type_hints(kind)
    built: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if name not in known:
            every, leaf = list(_flat(dataclasses.asdict(Config()))), key.rpartition(".")[2]
            same_leaf = [other for other in every if other.rpartition(".")[2] == leaf]
            near = difflib.get_close_matches(key[:LONGEST_KEY], every, n=1, cutoff=0.0)
            raise ConfigError(
                where.rstrip(", "),
                expected="a known key",
                found=f"'{key}'",
                fix=f"the nearest is '{(same_leaf or near)[0]}'",
            )
        if dataclasses.is_dataclass(types[name]):
            built[name] = _build(types[name], value, where, f"{key}.")
            continue
        rules = known[name].metadata
        try:
            built[name] = _convert(types[name], value, rules)
        except ValueError:
            raise ConfigError(
                f"{where}{key}",
                expected=_expectation(types[name], rules),
                found=repr(value) if types[name] is str else str(value or "nothing"),
                fix="set LC_ALL=C.UTF-8, in which it can be read"
                if re.search("[\udc80-\udcff]", str(value))
                else "give it such a value",
            ) from None
    return kind(**built)


def _convert(kind: Any, value: Any, rules: Mapping[str, Any]) -> Any:
    """A setting from what was written.

    Raises:
        ValueError: it is of another kind, or not legal.
    """
    is_list = isinstance(value, (list, tuple))
    if is_list == (kind in KINDS) or isinstance(value, Mapping):
        raise ValueError
    texts = list(map(str, value)) if is_list else ["" if value is None else str(value)]
    if not set(texts) <= set(rules.get("choices", texts)):
        raise ValueError
    if is_list:
        return tuple(dict.fromkeys(texts))
    if kind is str:
        text = expand_home(texts[0]) if "path" in rules else texts[0]
        # Control characters, and bytes of a path that the locale could not read (surrogates).
        odd = {"Cc", "Cs"} & {unicodedata.category(character) for character in text}
        if odd or ("path" in rules and text.startswith("~")):  # no user of that name
            raise ValueError
        return text
    if kind is bool:
        return bool(("false", "true").index(texts[0].lower()))
    number = kind(texts[0])
    if not abs(number) < math.inf or not all(LIMITS[r](number, rules[r]) for r in rules):
        raise ValueError
    return number


def _expectation(kind: Any, rules: Mapping[str, Any]) -> str:
    if "choices" in rules:
        few = "one of" if kind in KINDS else "a list of some of"
        return f"{few} {', '.join(rules['choices'])}"
    if "path" in rules:
        return "a path in UTF-8 without control characters (./~a, if its name begins with ~)"
    limits = [f"{rule.replace('_', ' ')} {rules[rule]:.10g}" for rule in rules if rule in LIMITS]
    return " ".join([KINDS.get(kind, "a list of texts"), *limits])
