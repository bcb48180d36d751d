"""Places for a data set, in words: URLs, storage options, and secrets, which belong in neither."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SUPPORTED = (
    "a local path, file:///path, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, "
    "abfs://container/prefix or memory://name"
)
NO_SECRETS = (
    "must hold no user, password, key, token or signature; give credentials to each worker by its "
    "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), ~/.aws or its role"
)

Options = tuple[tuple[str, str], ...]
"""Storage options by name, sorted, as texts."""


@dataclass(frozen=True)
class Option:
    """A storage option of `s3://`; `limits` are those of a number."""

    pattern: str
    allowed: str
    default: str = ""
    limits: tuple[float, float] | None = None


_NUMBER = r"\d{1,6}(\.\d{1,3})?"
_WHOLE = r"\d{1,6}"
_WHOLES = range(1_000_000)  # longer ones Python may refuse to print

OPTIONS = {
    "endpoint_url": Option(
        r"https?://[A-Za-z0-9._\-\[\]:]{1,255}(/[A-Za-z0-9._/-]{0,255})?",
        "http:// or https://, a host, perhaps a port and a path; for example http://127.0.0.1:8333",
    ),
    "region": Option(r"[a-z0-9-]{1,64}", "the name of a region; for example ap-southeast-1"),
    "profile": Option(r"[A-Za-z0-9._@ -]{1,128}", "the name of a profile in ~/.aws"),
    "anon": Option("true|false", "true or false", "false"),
    "ca_bundle": Option(r"[^\0\r\n]{1,1024}", "the path of a file of certificates"),
    "addressing_style": Option("auto|path|virtual", "auto, path or virtual", "auto"),
    "connect_timeout_s": Option(_NUMBER, "a number of seconds from 0.1 to 60", "5", (0.1, 60)),
    "read_timeout_s": Option(_NUMBER, "a number of seconds from 0.1 to 600", "30", (0.1, 600)),
    "retry_budget_s": Option(_NUMBER, "a number of seconds from 0 to 86400", "120", (0, 86_400)),
    "max_concurrency": Option(_WHOLE, "a whole number from 1 to 64", "8", (1, 64)),
    "part_mib": Option(_WHOLE, "a whole number of MiB from 5 to 64", "16", (5, 64)),
}
"""All that may be given; whatever else a library knows is refused."""

_SECRET = re.compile(
    r"secret|passw|token|credential|signature|access_?key|(?<![a-z])(key|sig|sas|pwd|auth)(?![a-z])",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"://[^/]*@|\?")


def names_secret(text: str) -> bool:
    """Whether a name is that of a secret, or a text has such a name in it."""
    return _SECRET.search(text) is not None


def holds_login(url: str) -> bool:
    """Whether a URL has a user, a password or a query, which may be a signature."""
    return "://" in url and _LOGIN.search(url) is not None


def option_fault(name: str, value: object) -> str | None:
    """What is wrong with a storage option, which never repeats its value; None if nothing is."""
    if names_secret(name):
        return NO_SECRETS
    option = OPTIONS.get(name)
    if option is None:
        return f"no such storage option; known: {', '.join(OPTIONS)}"
    if not isinstance(value, str | float) and not (isinstance(value, int) and value in _WHOLES):
        return f"must be {option.allowed}"
    text = _text(value)
    if name == "endpoint_url" and holds_login(text):
        return NO_SECRETS
    if re.fullmatch(option.pattern, text):
        low, high = option.limits or (0, 0)
        if option.limits is None or low <= float(text) <= high:
            return None
    return f"must be {option.allowed}"


def to_options(given: Mapping[str, object]) -> Options:
    """Storage options without fault, ready to travel."""
    return tuple(sorted((name, _text(value)) for name, value in given.items()))


def option(options: Options, name: str) -> str:
    """Value of a storage option, or its default; empty where there is none."""
    return dict(options).get(name, OPTIONS[name].default)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
