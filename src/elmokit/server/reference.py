"""The OpenAPI description as a page for people: plain HTML without scripts, so it works offline.

FastAPI's own pages load Swagger UI from elsewhere, which a server that needs no network can't; vendoring it would cost
1.5 MB. The description itself is at /openapi.json for those who have such a tool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid #8886}code{font-size:.9em}h2{margin-top:2.5rem}"""


def reference_page(schema: Mapping[str, Any]) -> str:
    """A page of all routes.

    Args:
        schema: an OpenAPI 3 description.

    Returns:
        an HTML document.

    Example:
        >>> "<h1>small 1</h1>" in reference_page({"info": {"title": "small", "version": "1"}, "paths": {}})
        True
    """
    title = escape(f"{schema['info']['title']} {schema['info']['version']}")
    head = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    intro = (
        f"<p>{escape(schema['info'].get('description', ''))} For tools: <a href='openapi.json'>openapi.json</a>.</p>"
    )
    return "".join(
        [head, f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>", intro, *_operations(schema), "</html>"]
    )


def _operations(schema: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body is not None:
                yield _fields(_resolved(schema, body), "Send")
            for status, answer in operation["responses"].items():
                yield _answer(schema, status, answer)


def _answer(schema: Mapping[str, Any], status: str, answer: Mapping[str, Any]) -> str:
    shape = answer.get("content", {}).get("application/json", {}).get("schema", {})
    fields = _fields(_resolved(schema, shape), "Get") if status == "200" and "$ref" in shape else ""
    return f"{fields}<p><b>{escape(status)}</b> {escape(answer['description'])}</p>"


def _resolved(schema: Mapping[str, Any], shape: Mapping[str, Any]) -> Mapping[str, Any]:
    name = shape.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = schema["components"]["schemas"][name] if name else shape
    return found


def _fields(shape: Mapping[str, Any], title: str) -> str:
    needed = shape.get("required", ())
    rows = [
        f"<tr><td><code>{escape(name)}</code>{' (needed)' if name in needed else ''}</td><td>{escape(_type(one))}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>"
        for name, one in shape.get("properties", {}).items()
    ]
    return f"<table><tr><th>{title}</th><th>type</th><th>meaning</th></tr>{''.join(rows)}</table>"


def _type(one: Mapping[str, Any]) -> str:
    if "anyOf" in one:
        return " or ".join(_type(part) for part in one["anyOf"])
    if "enum" in one or "const" in one:
        return " or ".join(repr(value) for value in one.get("enum", [one.get("const")]))
    if one.get("type") == "array":
        return f"list of {_type(one.get('items', {}))}"
    return str(one.get("type") or one.get("$ref", "anything").rpartition("/")[2])
