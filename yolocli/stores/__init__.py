"""Object stores by URL: what lies there is listed, read, written and deleted through one small seam.

A scheme is one row here. A store is opened where it is used, in each process anew: libraries that read from stores run
threads of their own, which no fork takes along.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType

from yolocli.stores.base import Store, StoreError, Where
from yolocli.stores.secrets import refuse_secrets

OBJECTS, FILES = "yolocli.stores.objects:Objects", "yolocli.stores.files:Files"
STORES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("s3", "gs", "az", "https", "http"), OBJECTS),
        **dict.fromkeys(("hf", "ftp", "sftp", "smb", "webhdfs", "hdfs", "oss", "memory"), FILES),
    }
)
"""By scheme. obstore reads small objects several times as fast as fsspec, which knows more kinds of stores."""
SCHEME = "://"


def is_url(name: str) -> bool:
    """Tells whether a name is that of something in a store."""
    scheme, mark, _ = name.partition(SCHEME)
    return bool(mark) and scheme.lower() in STORES


def where(url: str) -> Where:
    """Returns the parts of a URL, without a '/' at its end.

    Raises:
        StoreError: If it names no bucket, or holds a secret.
    """
    refuse_secrets(url)
    scheme, _, rest = url.partition(SCHEME)
    bucket, _, key = rest.partition("/")
    if not bucket and scheme.lower() != "memory":
        raise StoreError("InvalidName", f"{url} names no bucket")
    return Where(f"{scheme.lower()}{SCHEME}{bucket}", key.strip("/"))


def store_of(url: str) -> Store:
    """Returns the store that a URL leads to, ready for many threads at once.

    Raises:
        StoreError: As `where`.
        UsageError: If the package for it is missing.
    """
    return _opened(where(url).root)


@cache
def _opened(root: str) -> Store:
    module, _, name = STORES[root.partition(SCHEME)[0]].partition(":")
    store: Store = getattr(import_module(module), name)(root)
    return store
