"""Faults of S3 and of the way to it: which are worth another try, and what a user is told.

What the store says is never repeated but for its code: it may hold names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, SSLError
from botocore.exceptions import ConnectionError as UnreachedError
from s3fs.core import S3_RETRYABLE_ERRORS

from fleetgen.errors import StorageError
from fleetgen.io.retry import Fault, GaveUp
from fleetgen.wording import many

_UNREACHED_BY = (ConnectionError, UnreachedError, *S3_RETRYABLE_ERRORS)
_FAULTS = (BotoCoreError, ClientError, OSError, RecursionError, *S3_RETRYABLE_ERRORS)
_BUSY = {
    *(
        "SlowDown",
        "503",
        "ServiceUnavailable",
        "429",
        "TooManyRequests",
        "TooManyRequestsException",
    ),
    *("Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled"),
}
_AGAIN = {
    *("RequestTimeout", "ConditionalRequestConflict", "OperationAborted", "409"),
    *("IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"),
}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
ABSENT = {"NoSuchKey", "404"}
UNTOLD = {"", "400", "403"}  # an answer to HEAD has no body to say more
_AGAIN_LATER = "run the same command again: finished parts are kept"
_REGION = "the bucket lies in another region. Set --storage-option region"
_REASONS = {
    "NoSuchBucket": "there is no such bucket. Make it, or check its name, region and endpoint_url",
    "NoSuchKey": "there is no such object",
    "404": "there is no such object",
    **dict.fromkeys(
        ("PreconditionFailed", "412"), "another one was put there meanwhile. Try again"
    ),
    "AccessDenied": "access denied. Let these credentials read, write, list and delete below the "
    "prefix, or choose another --output-dir",
    "InvalidAccessKeyId": "the access key is not known there. Check AWS_ACCESS_KEY_ID or the "
    "profile, and endpoint_url",
    "SignatureDoesNotMatch": "the secret key does not fit the access key. Check "
    "AWS_SECRET_ACCESS_KEY or the profile, on every worker",
    "RequestTimeTooSkewed": "the clock of this machine is wrong. Set it",
    "NotImplemented": "the store does not know this request. Choose another one",
    **dict.fromkeys(EXPIRED, f"the credentials have expired. Renew them, then {_AGAIN_LATER}"),
    **dict.fromkeys(("PermanentRedirect", "301", "AuthorizationHeaderMalformed"), _REGION),
    **dict.fromkeys(("IllegalLocationConstraintException", "TemporaryRedirect"), _REGION),
    **dict.fromkeys(
        UNTOLD, "refused. Check the credentials, on every worker, and what they may do"
    ),
}
_NO_CREDENTIALS = (
    "no credentials are found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in "
    "~/.aws, on every worker"
)
_UNREACHED = "no answer from the store. Check --storage-option endpoint_url and the network"


class Unfinished(OSError):
    """The store said yes, and yet the object is not there as it was sent."""


class PastTheEnd(StorageError):
    """A range begins where the object ends."""


class NoSuchUpload(StorageError):
    """A multipart upload is completed or aborted."""


def _answer(error: BaseException) -> tuple[str, int]:
    """Code and status of the store's answer, or "" and 0 where there was none."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(response.get("Error", {}).get("Code", "")), status
    return "", 0


def code_of(error: BaseException) -> str:
    """Code of the store's answer; empty where there was none."""
    return _answer(error)[0]


def judge_fault(error: BaseException) -> Fault:
    """What a fault asks for."""
    code, status = _answer(error)
    if code in _BUSY or status in (429, 503) or isinstance(error, TimeoutError):
        return Fault.BUSY
    if code in _AGAIN or (status >= 500 and code != "NotImplemented"):
        return Fault.AGAIN
    if isinstance(error, SSLError) or status:
        return Fault.FINAL
    again = isinstance(error, (Unfinished, *_UNREACHED_BY))
    return Fault.AGAIN if again else Fault.FINAL


@contextmanager
def told_fault(action: str, place: str, hasty: bool) -> Iterator[None]:
    """Turn a fault into a `StorageError` of one line, which repeats nothing that the store said."""
    try:
        yield
    except FileExistsError:
        raise
    except GaveUp as error:
        cause = error.__cause__ or error
        reason = _reason(cause)
        if judge_fault(cause) is Fault.BUSY and code_of(cause):
            reason = "the store asks to slow down"
        how_long = f"{many(error.tries, 'try', 'tries')} in {error.seconds:.0f} s"
        longer = f", or raise --storage-option retry_budget_s, and {_AGAIN_LATER}"
        more = "" if hasty else longer
        raise StorageError(f"cannot {action} {place!r} ({how_long}): {reason}{more}") from error
    except _FAULTS as error:
        code = code_of(error)
        kind = {"InvalidRange": PastTheEnd, "416": PastTheEnd, "NoSuchUpload": NoSuchUpload}
        told = kind.get(code, StorageError)
        raise told(f"cannot {action} {place!r}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    code, status = _answer(error)
    if status:
        return reason_of(code, status)
    if isinstance(error, RecursionError):  # of the library, which follows every redirection
        return f"it only redirects: {_REGION}, or check endpoint_url"
    if isinstance(error, NoCredentialsError):
        return _NO_CREDENTIALS
    if isinstance(error, SSLError):
        return "its certificate is not trusted. Check endpoint_url and --storage-option ca_bundle"
    if isinstance(error, Unfinished):
        return "the object did not arrive whole. Try again, or choose another store"
    if isinstance(error, _UNREACHED_BY):
        return f"{_UNREACHED} ({type(error).__name__})"
    return f"{type(error).__name__}. Check the profile and the other storage options"


def reason_of(code: str, status: int = 0) -> str:
    """What a code means and the way out."""
    safe = code if code.isalnum() and code.isascii() and len(code) <= 64 else "refused"
    return (
        _REASONS.get(code) or f"{safe} (HTTP {status}). Try again, or choose another --output-dir"
    )
