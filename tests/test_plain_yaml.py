"""YAML of keys, lists and texts is read as it is written; what could cost more is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungdx_paddle.files import UnreadableError
from lungdx_paddle.plain_yaml import DEEPEST, LARGEST_YAML_BYTES, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", None),
        ("# only a comment", None),
        ("a: {b: [1, 1e-4, ~], c: }", {"a": {"b": ["1", "1e-4", None], "c": None}}),
        ("a: 2026-13-45\nb: 0b_\nc: yes", {"a": "2026-13-45", "b": "0b_", "c": "yes"}),
        ("a: 'null'\nb: \"\\u00fc\"\nc: ''", {"a": "null", "b": "ü", "c": ""}),
        ("- x\n- - y\n  - {}", ["x", ["y", {}]]),
        (f"a: {'9' * 5000}", {"a": "9" * 5000}),
    ],
)
def test_every_value_is_a_text_as_it_is_written(text: str, read: object) -> None:
    assert parse_yaml(text) == read


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name: [&a0 [x,x], &a1 [*a0,*a0], *a1]", r"an anchor or an alias \(&a0\) on line 1"),
        ("a: 1\nb: *c", r"an anchor or an alias \(&c\) on line 2"),
        ("seed: !!int 3", r"a tag \(tag:yaml.org,2002:int\) on line 1"),
        ("seed: !!python/object/apply:os.system [true]", "a tag .*os.system"),
        ("[" * 1000, f"more than {DEEPEST} levels"),
        ("- " * 1000 + "a", f"more than {DEEPEST} levels"),
        ("a: 1\nb: 2\na: 3", "the key 'a' twice"),
        ("? [a]\n: 1", "a key that is no text"),
        ("~: 1", "a key that is no text"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: \0", "unacceptable character #x0000"),
        ("a: \udcfc", "unacceptable character #xdcfc"),
        (r'a: "\UFFFFFFFF"', "too large|chr"),
        ("a: [", "expected the node content"),
        ("#" * (LARGEST_YAML_BYTES + 1), "more than 65536 characters"),
    ],
)
def test_what_a_settings_file_has_no_need_of_is_refused(text: str, found: str) -> None:
    with pytest.raises(UnreadableError, match=found):
        parse_yaml(text)


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffa: ü".encode())  # Notepad writes a byte order mark
    assert read_yaml(path) == {"a": "ü"}
    path.write_bytes(b"a: \xfc")
    with pytest.raises(UnreadableError, match="bytes that are not UTF-8"):
        read_yaml(path)
    os.truncate(path, 2**40)
    with pytest.raises(UnreadableError, match="more than 65536 bytes"):
        read_yaml(path)
    with pytest.raises(UnreadableError, match="Is a directory"):
        read_yaml(tmp_path)
