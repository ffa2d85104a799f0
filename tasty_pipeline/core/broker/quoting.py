"""What the other side said, read with suspicion and made fit to be shown.

Here belong the shapes of bodies that are no data (errors, pages, fragments) and the blotting out of secrets in quoted
text. What follows from them is decided in `verdicts.py`.
"""

import json
import re
from typing import Any

import httpx2
import numpy as np

_QUOTE_LENGTH = 240
_OPENING, _CLOSING = b"{}"
_TOKENS_IN_TEXT = (re.compile(r"(?i)bearer\s+\S+"), re.compile(r"eyJ[\w-]{4,}(?:\.[\w-]*)*"))


class Quoter:
    """Quotes foreign text, short, on one line, without `secrets` and without the token of the request it answers."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def is_echo(self, body: bytes, request: httpx2.Request) -> bool:
        """Whether a body holds one of the credentials of the request that it answers."""
        return any(secret.encode() in body for secret in (*self._secrets, _token(request)) if secret)

    def text(self, text: str, request: httpx2.Request) -> str:
        """The text with everything secret as `[hidden]`."""
        for secret in (*self._secrets, _token(request)):
            text = text.replace(secret, "[hidden]") if secret else text
        for pattern in _TOKENS_IN_TEXT:
            text = pattern.sub("[hidden]", text)
        text = "".join(character if character.isprintable() else " " for character in text)
        text = " ".join(text.split())
        return text if len(text) <= _QUOTE_LENGTH else text[:_QUOTE_LENGTH] + "..."

    def said(self, request: httpx2.Request, response: httpx2.Response) -> str:
        """The API's own words, ` - code: message`, from any of its three shapes of errors; empty if it said none."""
        code, text = oauth_error(response.content)
        error = api_error(response.content)
        words = [(error.get("code") or code, error.get("message") or text)]
        details = error.get("errors")
        words += [
            (each.get("code") or each.get("domain"), each.get("message") or each.get("reason"))
            for each in (details if isinstance(details, list) else [])
            if isinstance(each, dict)
        ]
        said = "; ".join(": ".join(str(word) for word in pair if word) for pair in words if any(pair))
        return f" - {self.text(said, request)}" if said else ""


def _token(request: httpx2.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def is_html(body: bytes) -> bool:
    """Whether a body is a page for people: every JSON document of the API begins with a brace."""
    return body.lstrip()[:1] == b"<"


def looks_damaged(body: bytes) -> bool:
    """Whether the body of a good answer is no JSON object from brace to brace: empty, a page, or broken off.

    Cheap for whole bodies: only one with unequal numbers of braces is parsed to be sure.
    """
    trimmed = body.strip()
    if trimmed[:1] != b"{" or trimmed[-1:] != b"}":
        return True
    # ten times faster than bytes.count, which is felt on two megabytes
    characters = np.frombuffer(trimmed, np.uint8)
    if np.count_nonzero(characters == _OPENING) == np.count_nonzero(characters == _CLOSING):
        return False
    try:
        json.loads(trimmed)
    except ValueError:
        return True
    except RecursionError:  # whole, as far as anybody can say: for the reader to refuse
        return False
    return False


def json_object(body: bytes) -> dict[str, Any]:
    """The object in a body, empty if there is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def api_error(body: bytes) -> dict[str, Any]:
    """The `error` of an answer; empty if there is none."""
    error = json_object(body).get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def oauth_error(body: bytes) -> tuple[str, str]:
    """Code and description of a refused login; empty if there are none."""
    answer = json_object(body)
    code = answer.get("error_code") or (answer.get("error") if isinstance(answer.get("error"), str) else "")
    return str(code or ""), str(answer.get("error_description") or "")
