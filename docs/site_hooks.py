"""Hooks of MkDocs: what reStructuredText is in docstrings, as the site's HTML has it."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:mod|func|class|meth|attr|data|exc):<code>~?([\w.]+)</code>")
TABLE = re.compile(r"<p>(=+ +=+\n.*?\n=+ +=+)</p>", re.DOTALL)


def on_page_content(html: str, **_: Any) -> str:
    """Make links of ``:func:`a.b.c```, keep simple tables aligned, and end ``::`` as a colon."""

    def link(role: re.Match[str]) -> str:
        name = role.group(1)
        return f'<autoref optional identifier="{name}"><code>{name.split(".")[-1]}</code></autoref>'

    def aligned(table: re.Match[str]) -> str:
        return f"<pre>{re.sub('</?code>', '``', table.group(1))}</pre>"

    return ROLE.sub(link, TABLE.sub(aligned, html)).replace("::</p>", ":</p>")
