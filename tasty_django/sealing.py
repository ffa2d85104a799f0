"""Sealing credentials so that only the pipeline can open them: libsodium's sealed box, by PyNaCl.

A seal is the text `tp1.<key_id>.<box>`: the box is base64url without padding of `crypto_box_seal` over the JSON
`{"refresh_token": ..., "client_secret": ...}`, the second only where one was given. There is no way back from here.
"""

import base64
import json

from django.views.decorators.debug import sensitive_variables
from nacl.public import PublicKey, SealedBox

from tasty_django.errors import NoKeyError
from tasty_django.models import SealingKey


@sensitive_variables()
def seal(refresh_token: str, client_secret: str = "") -> str:
    """Return the credentials sealed with the newest unretired key. Raises `NoKeyError` without a good one."""
    key = SealingKey.objects.filter(retired_at=None).newest_first().first()
    if key is None:
        raise NoKeyError(
            "Credentials cannot be stored yet: the pipeline has no sealing key. Its operator makes one with "
            "`tasty-pipeline keygen`."
        )
    try:
        box = SealedBox(PublicKey(base64.b64decode(key.public_key, validate=True)))
    except (ValueError, TypeError):
        raise NoKeyError(
            f"Credentials cannot be stored: the pipeline's public key {key.key_id} is damaged. Its operator makes "
            "a new one with `tasty-pipeline keygen --rotate`."
        ) from None
    secrets = {"refresh_token": refresh_token}
    if client_secret:
        secrets["client_secret"] = client_secret
    text = base64.urlsafe_b64encode(box.encrypt(json.dumps(secrets).encode())).decode().rstrip("=")
    return f"tp1.{key.key_id}.{text}"
