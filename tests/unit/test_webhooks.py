"""What a webhook says, how it is signed, when it is tried again, and where it may go."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr, ValidationError

from anime.core.batches import BatchRequest, expand
from anime.core.job_status import JobStatus
from anime.core.public_addresses import is_never_public, is_public
from anime.core.webhooks import (
    content_of,
    key_of,
    message_of,
    signed_headers,
)
from anime.errors import ConfigurationError, InvalidRequest
from anime.schemas import FileRecord, GenerationRequest, GenerationType, JobSnapshot
from anime.settings import load_settings
from anime.webhooks.policy import check_webhook, signing_key

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2031, 4, 5, 6, 7, 8, tzinfo=UTC)
HOSTILE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://studio.localhost/",
    "http://127.0.0.1./",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://１２７.0.0.1/",
]


def ended_job(status: JobStatus = JobStatus.COMPLETED) -> JobSnapshot:
    return JobSnapshot(
        id=uuid4(),
        type=GenerationType.IMAGE,
        status=status,
        progress=100,
        prompt="a lighthouse",
        workflow="txt2img",
        attempt=1,
        created_at=NOW,
        updated_at=NOW,
        finished_at=NOW,
    )


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of its reference libraries."""
    content = b'{"test": 2432232314}'
    signed = f"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{content.decode()}"
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert f"v1,{_base64_hmac(key, signed.encode())}" == expected
    delivery_id = UUID(int=7)
    headers = signed_headers(key, delivery_id, content, timestamp=1614265330)
    mine = _base64_hmac(key, f"{delivery_id}.1614265330.".encode() + content)
    assert headers == {
        "webhook-id": str(delivery_id),
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"v1,{mine}",
    }


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_message_holds_the_job_and_its_files_but_no_graph(status: JobStatus) -> None:
    file = FileRecord(
        id=1,
        filename="雨.png",
        file_type="image",
        file_path="/library/雨.png",
        file_size=9,
        created_at=NOW,
        metadata={"graph": {"1": {}}},
    )
    message = message_of(ended_job(status), [file], moment=NOW)
    assert (message["type"], message["timestamp"]) == (
        f"generation.{status}",
        "2031-04-05T06:07:08Z",
    )
    told = message["data"]
    assert isinstance(told, dict)
    assert told["prompt"] == "a lighthouse"
    assert isinstance(told["files"], list)
    [file_told] = told["files"]
    assert isinstance(file_told, dict)
    assert file_told["filename"] == "雨.png"
    assert "metadata" not in file_told
    assert "雨.png".encode() in content_of(message)


@pytest.mark.parametrize(
    "secret", ["", "hunter2", "whsec_", "whsec_AAAA", "whsec_!!!!", SECRET[6:], SECRET * 4]
)
def test_what_is_no_secret_is_refused_with_how_to_make_one(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="openssl rand") as refusal:
        key_of(secret)
    said = secret.removeprefix("whsec_")
    assert not said or said not in str(refusal.value)


@pytest.mark.parametrize("url", HOSTILE)
def test_an_address_of_no_public_machine_is_refused_however_it_is_spelled(url: str) -> None:
    order = GenerationRequest(prompt="rain", webhook_url=url)
    with pytest.raises(InvalidRequest, match="private"):
        check_webhook(order, load_settings(webhook_secret=SecretStr(SECRET)))
    check_webhook(
        order, load_settings(webhook_secret=SecretStr(SECRET), webhook_allow_private=True)
    )


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "93.184.216.34"])
def test_other_hosts_are_left_to_dns(host: str) -> None:
    assert not is_never_public(host)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "file:///etc/passwd",
        "example.com/hook",
        "http://",
        "http://user@example.com/",
        "https://user:password@example.com/",
        "https://:password@example.com/",
        "http://[::1/",
        "http://exa mple.com/",
        "http://example.com/\x00",
        "http://example.com/" + "a" * 2_000,
        "http://example.com/" + "幻" * 500,
    ],
)
def test_what_is_no_address_to_post_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="webhook_url"):
        GenerationRequest(prompt="rain", webhook_url=url)


def test_without_a_secret_a_webhook_is_refused_with_what_to_do() -> None:
    settings = load_settings()
    assert signing_key(settings) is None
    check_webhook(GenerationRequest(prompt="rain"), settings)
    with pytest.raises(InvalidRequest, match="ANIME_WEBHOOK_SECRET"):
        check_webhook(
            GenerationRequest(prompt="rain", webhook_url="https://example.com/"), settings
        )


def test_the_secret_may_stand_in_another_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKS", SECRET)
    assert signing_key(load_settings(webhook_secret=SecretStr("env:HOOKS"))) == bytes(range(32))


def test_all_children_of_a_batch_share_its_webhook_and_keep_their_ids() -> None:
    plain = expand(BatchRequest(name="b", prompts=["a fox", "an owl"]))
    told = expand(
        BatchRequest(
            name="b", prompts=["a fox", "an owl"], common={"webhook_url": "https://example.com"}
        )
    )
    assert [child.request.webhook_url for child in told] == ["https://example.com/"] * 2
    assert [child.key for child in told] == [child.key for child in plain]


def _base64_hmac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
