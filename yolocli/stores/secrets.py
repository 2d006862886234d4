"""No credential in a URL: it would end up in records, in run.json and in what people send each other."""

from __future__ import annotations

import re

from yolocli.stores.base import StoreError

_USER = re.compile(r"://[^/@]*:[^/@]*@")
_SIGNED = re.compile(r"\?.*(x-amz-|x-goog-|signature=|sig=|token=|accesskeyid=|password=|secret=|key=)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?[^\s\"')>]*")
ADVICE = "credentials come from the environment, as the libraries of the store read them"


def refuse_secrets(url: str) -> None:
    """Refuses a URL with credentials in it, or with a query, which mostly holds some.

    Raises:
        StoreError: In words that do not hold them.
    """
    if _USER.search(url):
        raise StoreError("SecretInName", f"{without_secrets(url)}: a password in a URL is not taken; {ADVICE}")
    if _SIGNED.search(url) or (url.lower().startswith(("http://", "https://")) and "?" in url):
        raise StoreError("SecretInName", f"{without_secrets(url)}: what follows a '?' in a URL is not taken; {ADVICE}")


def without_secrets(text: str) -> str:
    """Returns a text without the users and queries of URLs in it."""
    return _QUERY.sub("", _AUTHORITY.sub("", text)) if "://" in text else text
