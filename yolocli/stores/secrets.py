"""No credential in a URL: it would end up in records, in run.json and in what people send each other."""

from __future__ import annotations

import re

from yolocli.stores.base import StoreError

_HOST = r"(?:\[[^\]/@]*\]|[^\[/:@]*)(?::\d{1,5})?(?:/|$)"
_UNSAFE = re.compile(rf"(?i:https?)://+(?!{_HOST})|://+(?!{_HOST})(?![^/@:]*@{_HOST})")
"""What precedes an authority that is no host: if an '@' follows, a secret stands between. Elsewhere than on the web, a
user alone is none. A port that is no number is the beginning of a password with a '/'."""
_SIGNED = re.compile(r"x-amz-|x-goog-|signature=|sig=|token=|accesskeyid=|password=|secret=|key=", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?[^\s\"')>]*")
_WORD = re.compile(r"\S+")
ADVICE = "credentials come from the environment, as the libraries of the store read them"


def refuse_secrets(url: str) -> None:
    """Refuses a URL with credentials in it, or with a query, which mostly holds some.

    Raises:
        StoreError: In words that do not hold them.
    """
    if _without_password(url) != url:
        raise StoreError(
            "SecretInName", f"{without_secrets(url)}: a password or a token in a URL is not taken; {ADVICE}"
        )
    _, mark, query = url.partition("?")
    if _SIGNED.search(query) or (mark and url.lower().startswith(("http://", "https://"))):
        raise StoreError("SecretInName", f"{without_secrets(url)}: what follows a '?' in a URL is not taken; {ADVICE}")


def without_secrets(url: str) -> str:
    """Returns a URL without its user and query."""
    return _USER.sub("", _without_password(url)).partition("?")[0]


def without_secrets_within(text: str) -> str:
    """Returns a text without the users and queries of URLs in it."""
    if "://" not in text:
        return text
    return _QUERY.sub("", _USER.sub("", _WORD.sub(lambda word: _without_password(word[0]), text)))


def _without_password(url: str) -> str:
    """Returns a URL without what may be a password or a token.

    Nobody can tell where one ends that may hold '/', '?' and '@': all up to the last '@' goes, and what follows that if
    it may be of a query.
    """
    found = _UNSAFE.search(url)
    if found is None or "@" not in url[found.end() :]:
        return url
    hidden, _, rest = url[found.end() :].rpartition("@")
    return url[: found.end()] + rest * ("?" not in hidden)
