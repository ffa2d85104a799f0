"""An HTTP answer before it is sent, and the shapes of success and of the errors of the API."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_NGINX = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_REASONS = {
    200: "200 OK",
    401: "401 Authorization Required",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
}


@dataclass
class Answer:
    """Status, headers and body; ``delivery`` says how the body goes out, for faults of the wire."""

    status: int
    body: bytes
    content_type: str = "application/json"
    #: ``whole``, ``dropped`` (nothing is sent), ``truncated`` (the length promises more), ``cut`` (half, then the
    #: connection dies) or ``trickle`` (piece by piece over ``seconds``).
    delivery: str = "whole"
    seconds: float = 0.0
    #: Send without a length, in chunks.
    chunked: bool = False
    #: How many seconds pass before anything is sent.
    wait: float = 0.0

    def edit(self) -> Any:
        """Return the body as data, to be changed and given to ``put``."""
        return json.loads(self.body)

    def put(self, data: Any) -> None:
        """Replace the body by other data."""
        self.body = dump(data)


def dump(data: Any) -> bytes:
    """Render JSON the way the API does: compact."""
    return json.dumps(data, separators=(",", ":")).encode()


def data(payload: Any, context: str, status: int = 200) -> Answer:
    """Answer with one object."""
    return Answer(status, dump({"data": payload, "context": context}))


def items(rendered: Sequence[bytes], context: str, pagination: dict[str, Any] | None = None) -> Answer:
    """Answer with a list of items that are rendered already."""
    tail = b',"context":' + dump(context)
    if pagination is not None:
        tail += b',"pagination":' + dump(pagination)
    return Answer(200, b'{"data":{"items":[' + b",".join(rendered) + b"]}" + tail + b"}")


def error(status: int, code: str | int, message: str, reasons: Sequence[tuple[str, str]] = ()) -> Answer:
    """Answer with the API's error object; ``reasons`` are pairs of domain and reason."""
    content: dict[str, Any] = {"code": code, "message": message}
    if reasons:
        content["errors"] = [{"domain": domain, "reason": reason} for domain, reason in reasons]
    return Answer(status, dump({"error": content}))


def oauth_error(status: int, code: str, description: str) -> Answer:
    """Answer with the third shape of errors, that of OAuth."""
    return Answer(status, dump({"error_code": code, "error_description": description}))


def html(status: int) -> Answer:
    """Answer with a page of the web server in front of the API."""
    title = _REASONS.get(status, f"{status} Error")
    return Answer(status, _NGINX.format(title=title).encode(), "text/html")


UNAUTHORIZED = (401, "token_invalid", "This token is invalid or has expired")
