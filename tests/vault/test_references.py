"""What references to a real Vault become, and what is said where they become nothing."""

import asyncio
import base64
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from anime.errors import ConfigurationError, UnwrapFailed, VaultRefused, VaultUnavailable
from anime.net.vault import RESOLVER, use_vault, vault_status
from anime.settings.secret_references import known_value, refresh_references, resolve_reference
from anime.settings.vault import VaultConfig
from tests.integration.webhook_peer import new_certificate
from tests.support.waiting import HUNG_SECONDS
from tests.vault.openbao import OpenBao, passed_on


async def test_secrets_of_both_versions_of_kv_are_read(vault: OpenBao) -> None:
    await vault.put("anime/db", user="anime", password="a/b@c", port=5432)
    await vault.ask("POST", "old/anime/redis", {"password": "old one"})
    assert resolve_reference("vault:secret/anime/db#password") == "a/b@c"
    assert resolve_reference("vault:old/anime/redis#password") == "old one"
    assert resolve_reference("anime:{vault:old/anime/redis#password}") == "anime:old one"
    within = "{vault:secret/anime/db#user}:{vault:secret/anime/db#password}"
    port = "{vault:secret/anime/db#port}"
    found = resolve_reference(f"postgresql://{within}@db:{port}/anime")
    assert found == "postgresql://anime:a%2Fb%40c@db:5432/anime"


async def test_a_mount_may_have_a_path_and_be_the_usual_one(openbao: OpenBao) -> None:
    await openbao.ask("POST", "sys/mounts/studio/kv", {"type": "kv", "options": {"version": "2"}})
    await openbao.ask("POST", "studio/kv/data/anime/db", {"data": {"password": "nested"}})
    token = await openbao.new_token()
    use_vault(VaultConfig(url=openbao.url, auth="token", token=token, mount="studio/kv"))
    assert resolve_reference("vault:studio/kv/anime/db#password") == "nested"
    assert resolve_reference("vault:/anime/db#password") == "nested"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("vault:secret/anime/none#password", "secret/data/anime/none does not exist"),
        ("vault:secret/anime/here#pasword", "no key pasword; it has: list, password"),
        ("vault:secret/anime/here#list", "is no text"),
        ("vault:secrets/anime/here#password", "no mount for secrets/anime/here"),
        ("vault:secret/anime/deleted#password", "version 1, the newest, was deleted at 20"),
        ("vault:secret/anime/destroyed#password", "version 1, the newest, was destroyed"),
        ("vault:secret/anime/here", "is no reference to a secret"),
        ("vault:/anime/here#password", "is no reference to a secret"),
        ("vault:secret/../sys/seal#x", "is no reference to a secret"),
    ],
)
async def test_a_reference_to_nothing_says_what_is_wrong(
    vault: OpenBao, reference: str, said: str
) -> None:
    for name in ("here", "deleted", "destroyed"):
        await vault.put(f"anime/{name}", password="x", list=[1])
    versions = (await vault.ask("GET", "secret/metadata/anime/deleted"))["data"]["versions"]
    assert versions.keys() >= {"1"}
    await vault.ask("DELETE", "secret/metadata/anime/deleted")
    await vault.ask("DELETE", "secret/metadata/anime/destroyed")
    await vault.put("anime/deleted", password="x")
    await vault.put("anime/destroyed", password="x")
    await vault.ask("DELETE", "secret/data/anime/deleted")
    await vault.ask("POST", "secret/destroy/anime/destroyed", {"versions": [1]})
    with pytest.raises(ConfigurationError, match=re.escape(said)) as error:
        resolve_reference(reference)
    assert error.value.todo


async def test_without_a_vault_the_settings_to_make_are_named() -> None:
    with pytest.raises(ConfigurationError, match="ANIME_VAULT_URL"):
        resolve_reference("vault:secret/anime/db#password")


async def test_a_vault_that_is_away_or_is_none_is_told_in_a_sentence(openbao: OpenBao) -> None:
    use_vault(VaultConfig(url="http://127.0.0.1:1", auth="token", token="x"))
    with pytest.raises(VaultUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        resolve_reference("vault:secret/anime/db#password")
    use_vault(VaultConfig(url=f"{openbao.url}/ui", auth="token", token="x"))
    with pytest.raises(VaultUnavailable, match="is not Vault"):
        resolve_reference("vault:secret/anime/db#password")
    use_vault(VaultConfig(url=openbao.url, auth="token", token="wrong"))
    with pytest.raises(VaultRefused, match=r"The token: Vault at .* says 'permission denied'"):
        resolve_reference("vault:secret/anime/db#password")


async def test_f70_a_sealed_vault_is_refused_at_the_start_and_borne_later(vault: OpenBao) -> None:
    await vault.put("anime/known", password="known")
    assert resolve_reference("vault:secret/anime/known#password") == "known"
    await vault.seal()
    try:
        assert resolve_reference("vault:secret/anime/known#password") == "known"
        with pytest.raises(VaultUnavailable, match="is sealed") as error:
            resolve_reference("vault:secret/anime/other#password")
        assert error.value.retryable
        status = vault_status()
        assert status is not None
        assert not status.is_up
        assert "What is known goes on" in status.describe()
    finally:
        await vault.unseal()
    await vault.put("anime/other", password="other")
    assert resolve_reference("vault:secret/anime/other#password") == "other"
    after = vault_status()
    assert after is not None
    assert after.is_up


async def test_a_slow_vault_is_waited_for_as_long_as_the_settings_say(openbao: OpenBao) -> None:
    await openbao.put("anime/slow", password="slow")
    token = SecretStr(await openbao.new_token())
    async with passed_on(openbao, delay=0.5) as port:
        url = f"http://127.0.0.1:{port}"
        config = VaultConfig(url=url, auth="token", token=token, timeout_seconds=0.1)
        use_vault(config)
        with pytest.raises(VaultUnavailable, match=r"has not answered within 0\.1 s"):
            await asyncio.to_thread(resolve_reference, "vault:secret/anime/slow#password")
        use_vault(config.model_copy(update={"timeout_seconds": HUNG_SECONDS}))
        found = await asyncio.to_thread(resolve_reference, "vault:secret/anime/slow#password")
        assert found == "slow"


async def test_a_certificate_is_checked_against_the_authority_of_the_settings(
    openbao: OpenBao, tmp_path: Path
) -> None:
    await openbao.put("anime/tls", password="encrypted")
    tls = new_certificate(tmp_path, "localhost")
    async with passed_on(openbao, tls=tls) as port:
        config = VaultConfig(
            url=f"https://localhost:{port}",
            auth="token",
            token=SecretStr(await openbao.new_token()),
        )
        use_vault(config)
        with pytest.raises(VaultRefused, match=r"certificate of Vault at .* is not accepted"):
            await asyncio.to_thread(resolve_reference, "vault:secret/anime/tls#password")
        use_vault(config.model_copy(update={"ca_file": tls.certificate}))
        found = await asyncio.to_thread(resolve_reference, "vault:secret/anime/tls#password")
        assert found == "encrypted"
        use_vault(config.model_copy(update={"ca_file": tmp_path / "missing.pem"}))
        with pytest.raises(VaultRefused, match=r"missing\.pem"):
            await asyncio.to_thread(resolve_reference, "vault:secret/anime/tls#password")


async def test_what_others_have_refused_is_read_anew(
    vault: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.net.vault.session.REFRESH_MIN_SECONDS", 0)
    reference = "vault:secret/anime/rotated#password"
    await vault.put("anime/rotated", password="first")
    assert resolve_reference(reference) == "first"
    await vault.put("anime/rotated", password="second")
    assert known_value(reference) == "first"
    assert refresh_references(reference) == "second"
    assert known_value(reference) == "second"
    status = vault_status()
    assert status is not None
    assert [each.generation for each in status.secrets] == [2]


async def test_one_thread_renews_for_all_who_resolve(vault: OpenBao) -> None:
    before = set(threading.enumerate())
    names = [f"anime/many/{number}" for number in range(5)]
    for name in names:
        await vault.put(name, password=name)
    await asyncio.gather(
        *(
            asyncio.to_thread(resolve_reference, f"vault:secret/{name}#password")
            for name in 4 * names
        )
    )
    begun = [each.name for each in set(threading.enumerate()) - before]
    assert begun.count("vault-renewer") == 1


async def test_a_secret_without_a_lease_is_read_anew_after_some_time(openbao: OpenBao) -> None:
    reference = "vault:secret/anime/fresh#password"
    await openbao.put("anime/fresh", password="first")
    token = await openbao.new_token()
    use_vault(VaultConfig(url=openbao.url, auth="token", token=token, refresh_seconds=0.2))
    assert resolve_reference(reference) == "first"
    await openbao.put("anime/fresh", password="second")
    async with asyncio.timeout(HUNG_SECONDS):
        while resolve_reference(reference) != "second":
            await asyncio.sleep(0.05)


async def test_a_root_token_and_one_that_ends_are_told(openbao: OpenBao) -> None:
    await openbao.put("anime/db", password="x")
    use_vault(VaultConfig(url=openbao.url, auth="token", token=openbao.root_token))
    resolve_reference("vault:secret/anime/db#password")
    assert "a root token, which may do everything" in described()
    ending = await openbao.new_token(ttl="1h", renewable=False)
    use_vault(VaultConfig(url=openbao.url, auth="token", token=ending))
    resolve_reference("vault:secret/anime/db#password")
    assert "cannot be renewed: it ends at" in described()
    use_vault(VaultConfig(url=openbao.url, auth="token", token=await openbao.new_token()))
    resolve_reference("vault:secret/anime/db#password")
    assert "a token that is renewed, until" in described()


def described() -> str:
    status = vault_status()
    assert status is not None
    return status.describe()


async def test_an_approle_logs_in(openbao: OpenBao) -> None:
    await openbao.put("anime/db", password="by role")
    config = await openbao.approle("anime")
    use_vault(config)
    assert resolve_reference("vault:secret/anime/db#password") == "by role"
    use_vault(config.model_copy(update={"auth_mount": "aprole"}))
    with pytest.raises(VaultRefused, match="The login at auth/aprole"):
        resolve_reference("vault:secret/anime/db#password")


async def test_a_wrapped_secret_id_is_opened_once_for_all_processes(
    openbao: OpenBao, tmp_path: Path
) -> None:
    await openbao.put("anime/db", password="wrapped")
    config = await openbao.approle("wrapped")
    wrapping = tmp_path / "wrapping-token"
    wrapping.write_text(await openbao.new_secret_id("wrapped", wrap_ttl="60s"))
    wrapped = VaultConfig.model_validate(
        {**config.model_dump(), "is_wrapped": True, "secret_id": f"file:{wrapping}"}
    )
    for _ in range(2):
        use_vault(config)
        use_vault(wrapped)  # as another process would
        assert resolve_reference("vault:secret/anime/db#password") == "wrapped"
    (kept,) = (tmp_path / "home" / "run").glob("vault-secret-id-*")
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_a_wrapping_that_others_opened_or_exchanged_is_an_incident(
    openbao: OpenBao, caplog: pytest.LogCaptureFixture
) -> None:
    config = await openbao.approle("stolen")
    opened = await openbao.new_secret_id("stolen", wrap_ttl="60s")
    await openbao.ask("POST", "sys/wrapping/unwrap", token=opened)
    await openbao.approle("another")
    others = await openbao.new_secret_id("another", wrap_ttl="60s")
    for wrapping, said in ((opened, "was opened before or has expired"), (others, "exchanged")):
        use_vault(
            VaultConfig.model_validate(
                {**config.model_dump(), "is_wrapped": True, "secret_id": wrapping}
            )
        )
        with pytest.raises(UnwrapFailed, match=f"INCIDENT.*{said}"):
            resolve_reference("vault:secret/anime/db#password")
        assert wrapping not in caplog.text
    assert "CRITICAL" in caplog.text
    await openbao.ask("POST", "sys/wrapping/unwrap", token=others)  # it stayed closed


def segment(content: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


ACCOUNT = {"name": "worker", "uid": "a-uid"}
JWT = ".".join(
    [
        segment({"alg": "RS256", "typ": "JWT"}),
        segment(
            {
                "iss": "kubernetes/serviceaccount",
                "sub": "system:serviceaccount:studio:worker",
                "exp": 2**33,
                "iat": 1,
                "kubernetes.io": {"namespace": "studio", "serviceaccount": ACCOUNT},
            }
        ),
        "c2lnbmF0dXJl",
    ]
)
REVIEW = {  # what Kubernetes says of that token
    "apiVersion": "authentication.k8s.io/v1",
    "kind": "TokenReview",
    "status": {
        "authenticated": True,
        "user": {"username": "system:serviceaccount:studio:worker", "uid": "a-uid"},
    },
}


async def review_tokens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request as Kubernetes does, which we cannot run here."""
    await reader.readuntil(b"\r\n\r\n")
    body = json.dumps(REVIEW).encode()
    head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
    writer.close()


async def test_a_service_account_of_kubernetes_logs_in(openbao: OpenBao, tmp_path: Path) -> None:
    await openbao.put("anime/db", password="by account")
    (tmp_path / "jwt").write_text(JWT)
    tls = new_certificate(tmp_path, "localhost")  # it must have one, and we speak plain HTTP
    async with await asyncio.start_server(review_tokens, "127.0.0.1", 0) as kubernetes:
        host = f"http://127.0.0.1:{kubernetes.sockets[0].getsockname()[1]}"
        await openbao.ask("POST", "sys/auth/cluster", {"type": "kubernetes"})
        await openbao.ask(
            "POST",
            "auth/cluster/config",
            {
                "kubernetes_host": host,
                "kubernetes_ca_cert": tls.certificate.read_text(),
                "disable_local_ca_jwt": True,
                "token_reviewer_jwt": JWT,
            },
        )
        await openbao.ask(
            "POST",
            "auth/cluster/role/anime",
            {
                "bound_service_account_names": "worker",
                "bound_service_account_namespaces": "studio",
                "token_policies": "reader",
            },
        )
        config = VaultConfig(
            url=openbao.url,
            auth="kubernetes",
            auth_mount="cluster",
            role="anime",
            jwt=SecretStr(f"file:{tmp_path / 'jwt'}"),
        )
        use_vault(config)
        found = await asyncio.to_thread(resolve_reference, "vault:secret/anime/db#password")
        assert found == "by account"
        use_vault(config.model_copy(update={"role": "others"}))
        with pytest.raises(VaultRefused, match="The login at auth/cluster"):
            await asyncio.to_thread(resolve_reference, "vault:secret/anime/db#password")


async def test_a_secret_of_a_namespace_is_read(openbao: OpenBao) -> None:
    await openbao.ask("POST", "sys/namespaces/tokyo", {})
    await openbao.ask("POST", "tokyo/sys/mounts/kv", {"type": "kv", "options": {"version": "1"}})
    await openbao.ask("POST", "tokyo/kv/db", {"password": "in a namespace"})
    config = VaultConfig(
        url=openbao.url, auth="token", token=SecretStr(openbao.root_token), namespace="tokyo"
    )
    use_vault(config)
    assert resolve_reference("vault:kv/db#password") == "in a namespace"


async def test_a_token_that_somebody_exchanges_in_its_file_is_taken(
    openbao: OpenBao, tmp_path: Path
) -> None:
    await openbao.put("anime/first", password="one")
    await openbao.put("anime/later", password="two")
    file = tmp_path / "token"
    first = await openbao.new_token()
    file.write_text(first)
    use_vault(VaultConfig(url=openbao.url, auth="token", token=SecretStr(f"file:{file}")))
    assert resolve_reference("vault:secret/anime/first#password") == "one"
    await openbao.ask("POST", "auth/token/revoke", {"token": first})
    with pytest.raises(VaultRefused, match="permission denied"):
        resolve_reference("vault:secret/anime/later#password")
    assert resolve_reference("vault:secret/anime/first#password") == "one"
    file.write_text(await openbao.new_token())
    assert resolve_reference("vault:secret/anime/later#password") == "two"


async def test_after_its_token_was_revoked_a_process_logs_in_anew(openbao: OpenBao) -> None:
    await openbao.put("anime/first", password="one")
    await openbao.put("anime/later", password="two")
    use_vault(await openbao.approle("revoked"))
    assert resolve_reference("vault:secret/anime/first#password") == "one"
    token = RESOLVER.session()._token
    assert token is not None
    await openbao.ask("POST", "auth/token/revoke", {"token": token.value})
    assert resolve_reference("vault:secret/anime/later#password") == "two"


async def test_many_who_wait_for_a_silent_vault_wait_together() -> None:
    asked, together = 0, threading.Barrier(8)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += b"seal-status" not in await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        writer.close()

    def resolve() -> str:
        together.wait(HUNG_SECONDS)
        return resolve_reference("vault:secret/anime/db#password")

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        use_vault(VaultConfig(url=url, auth="token", token=SecretStr("x"), timeout_seconds=1))
        with ThreadPoolExecutor(8) as threads:
            loop = asyncio.get_running_loop()
            waiting = [loop.run_in_executor(threads, resolve) for _ in range(8)]
            ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in ended} == {VaultUnavailable}
    assert asked < 4  # one, unless a thread stood still for a second
