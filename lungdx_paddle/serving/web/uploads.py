"""Files that a client sends, streamed to a private folder as they come."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lungdx_paddle.serving.web.limits import Limits

FIELD_BYTES = 2**12
"""Of the form's fields that are no files, together: points and a UID."""

NAME_CHARACTERS = 200
"""Of a file's name, at most."""


@dataclass(frozen=True)
class Sent:
    """A file of an upload, as it lies in the server's folder."""

    path: Path
    """Of a name of ours: a sender's names may be a patient's, or lead elsewhere."""
    name: str
    """The sender's own, without folders; empty for a member of an archive."""


@dataclass
class Upload:
    """What a client sent."""

    folder: Path
    """Private; whoever made it removes it."""
    files: list[Sent] = field(default_factory=list)
    """Unpacked, in the order of sending."""
    fields: dict[str, list[str]] = field(default_factory=dict)
    """The form's other fields, stripped; none is empty."""

    @property
    def pictures(self) -> list[Sent]:
        """The JPG and PNG files."""
        return [sent for sent in self.files if sent.path.suffix == ".picture"]

    @property
    def markups(self) -> list[Sent]:
        """The XML files."""
        return [sent for sent in self.files if sent.path.suffix == ".xml"]

    def field(self, name: str) -> str:
        """The last value of a field, or nothing."""
        return self.fields.get(name, [""])[-1]


def upload_schema(*fields: str) -> dict[str, Any]:
    """The body of a request with files, for OpenAPI.

    Args:
        fields: names of others than ``files``; each may repeat.
    """
    texts = {"type": "array", "items": {"type": "string"}}
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form = {"type": "object", "properties": {"files": files, **dict.fromkeys(fields, texts)}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


async def receive(request: Request, folder: Path, limits: Limits) -> Upload:
    """Write the files of a ``multipart/form-data`` body to a folder, packed as they are.

    Only a chunk is in the memory at a time, and one file open.  :func:`unpack` is the next step.

    Raises:
        HTTPException: it is no such body, broken, or has too many files (400, 413, 415); or the
            disk is full (507).
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise HTTPException(
            415, "expected a form with files (multipart/form-data), found another body"
        )
    parts = _Parts(folder, limits)
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise _broken() from None
    except OSError as error:
        raise disk_full(error) from error
    finally:
        parts.close()
    if not parts.is_whole:
        raise _broken()
    return parts.upload


class _Parts:
    """What python-multipart calls while it reads a body."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.upload, self.is_whole = Upload(folder), False
        self._limits, self._file = limits, cast("BinaryIO | None", None)
        self._header = [b"", b""]
        self._name, self._value, self._in_fields = "", b"", 0

    def callbacks(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in dir(self) if name.startswith("on_")}

    def on_part_begin(self) -> None:
        self._header, self._name, self._value = [b"", b""], "", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def on_header_end(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            own = re.split(r"[\\/]", options[b"filename"].decode("utf-8", "replace"))[-1]
            if len(self.upload.files) >= self._limits.files:
                raise too_many(self._limits)
            path = self.upload.folder / f"part-{len(self.upload.files) + 1:05d}"
            self._file = open(path, "xb")
            self.upload.files.append(Sent(path, own[-NAME_CHARACTERS:]))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._in_fields += end - start
        if self._in_fields > FIELD_BYTES:
            raise HTTPException(413, f"expected up to {FIELD_BYTES} bytes of fields, found more")
        self._value += data[start:end]

    def on_part_end(self) -> None:
        if self._file is not None:
            self.close()
        elif value := self._value.decode("utf-8", "replace").strip():
            self.upload.fields.setdefault(self._name, []).append(value)

    def on_end(self) -> None:
        self.is_whole = True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _broken() -> HTTPException:
    return HTTPException(400, "expected a whole form with files, found a broken one; send it again")


def too_many(limits: Limits) -> HTTPException:
    """The error of an upload of more files than are taken (413)."""
    return HTTPException(413, f"expected up to {limits.files} files, found more; send one CT")


def disk_full(error: OSError) -> HTTPException:
    """The error of an upload that cannot be written (507)."""
    return HTTPException(507, f"the server cannot keep the upload ({error.strerror}); try later")
