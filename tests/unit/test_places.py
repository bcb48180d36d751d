"""Storage options and URLs: what may be said, and that no secret is."""

import pytest

from fleetgen.config import load
from fleetgen.errors import ConfigError, StorageError
from fleetgen.io.store import open_store
from fleetgen.places import OPTIONS, holds_login, names_secret, option, option_fault

GOOD = {
    "endpoint_url": ["http://127.0.0.1:8333", "https://s3.example.org", "http://[::1]:9000/base"],
    "region": ["ap-southeast-1"],
    "profile": ["team one", "a@b"],
    "anon": ["true", False],
    "ca_bundle": ["/etc/ssl/own.pem"],
    "addressing_style": ["path"],
    "connect_timeout_s": ["0.5", 5],
    "read_timeout_s": [30, "600"],
    "retry_budget_s": [0, "120.5"],
    "max_concurrency": [1, "64"],
    "part_mib": [5, "64"],
}
BAD = {
    "endpoint_url": ["ftp://host", "host:8333", "http://a b", "http://h/?x=1", "http://u:p@h", ""],
    "region": ["Ümlaut", "", 3.5],
    "profile": ["a/b", ""],
    "anon": ["yes", 1, None],
    "ca_bundle": ["a\nb", ["x"]],
    "addressing_style": ["other"],
    "connect_timeout_s": [0, "61", "x"],
    "read_timeout_s": ["-1", 601],
    "retry_budget_s": [float("nan"), 10**5000],
    "max_concurrency": [0, 65, "1.5"],
    "part_mib": [4, 65],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_checked(name: str) -> None:
    assert [value for value in GOOD[name] if option_fault(name, value)] == []
    assert [value for value in BAD[name] if not option_fault(name, value)] == []


@pytest.mark.parametrize(
    "name",
    [
        *("key", "secret", "token", "password", "sig", "sas", "aws_access_key_id", "account_key"),
        *("AWS_SECRET_ACCESS_KEY", "sas_token", "credentials", "X-Amz-Signature", "auth", "passwd"),
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert names_secret(name)
    assert "must hold no" in str(option_fault(name, "x"))


@pytest.mark.parametrize("name", [*OPTIONS, "keyboard", "design", "monkey", "author"])
def test_other_names_are_no_secrets(name: str) -> None:
    assert not names_secret(name)


def test_logins_are_seen_in_urls_alone() -> None:
    assert holds_login("s3://a:b@c/d")
    assert holds_login("s3://c/d?versionId=3")
    assert holds_login("simplecache::s3://a:b@c/d")
    assert not holds_login("s3://c/d")
    assert not holds_login("./a@b?c")


def test_options_travel_as_sorted_texts_and_change_no_plan() -> None:
    flags = {"--output-dir": "s3://bucket/prefix"}
    told = {"region": "eu-1", "anon": True, "max_concurrency": 4}
    config = load(flags={**flags, "--storage-option": told})
    options = config.output.to_options()
    assert options == (("anon", "true"), ("max_concurrency", "4"), ("region", "eu-1"))
    assert option(options, "region") == "eu-1"
    assert option(options, "read_timeout_s") == "30"
    assert config.digest() == load().digest()


def test_options_need_an_object_store() -> None:
    with pytest.raises(ConfigError, match="region: for an --output-dir on s3:// alone"):
        load(flags={"--storage-option": "region=eu-1"})


def test_an_option_is_given_once() -> None:
    options = ["region=a", "region=b"]
    with pytest.raises(ConfigError, match="given by --storage-option region, too"):
        load(flags={"--output-dir": "s3://bucket/prefix", "--storage-option": options})


@pytest.mark.parametrize(
    "url",
    [
        *(
            "s3://bucket",
            "s3://bucket/",
            "s3://b/p",
            "s3:///p",
            "s3://bucket/../p",
            "s3://bucket//p",
        ),
        *("s3://bucket/.hidden", "s3://bucket/a b", "s3://bucket/é", "s3a://bucket/p", "S3://b/p"),
        *("reference://x", "s3://bucket/p::s3://x/y", "gs://bucket", "az://container"),
    ],
)
def test_a_place_is_a_bucket_and_a_prefix(url: str) -> None:
    with pytest.raises(StorageError, match=r"give (a local path|\w+://bucket/prefix)") as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "package"), [("gs://bucket/p", "gcsfs"), ("az://bucket/p", "adlfs")]
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    monkeypatch.setattr("fleetgen.io.store.find_spec", lambda _: None)
    with pytest.raises(StorageError, match=f"pip install {package}"):
        open_store(url)
