"""ComfyUI behind a proxy that asks who we are: by a header, and by a certificate."""

import datetime
import ipaddress
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.server_login import ServerCredentials, login_with
from anime.errors import ComfyUIError, ConfigurationError
from anime.net.vault.references_check import check_references, texts_of
from anime.rehearsal.config import RehearsalConfig
from anime.settings import load_settings
from blocks import ComfyUIServer
from tests.integration.asking_comfyui import Certificates, asking_comfyui

SECRET = "Bearer of the studio"
HEADERS = {"Authorization": SecretStr(SECRET)}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    signer_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    signer, own = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Signer", "Studio")
    )
    now = datetime.datetime.now(datetime.UTC)

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    authority = builder(signer, signer_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder(own, key.public_key()).add_extension(names, critical=False)
    found = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    pem = serialization.Encoding.PEM
    for path, made in ((found.authority, authority), (found.certificate, certificate)):
        path.write_bytes(made.sign(signer_key, hashes.SHA256()).public_bytes(pem))
    found.key.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found


def asking_server(
    folder: Path, certificates: Certificates | None = None
) -> AbstractAsyncContextManager[str]:
    """A server that asks for the secret, and with TLS for a certificate as well."""
    config = RehearsalConfig(data_dir=folder, port=0, step_seconds=0.001)
    return asking_comfyui(config, lambda shown: shown.get("authorization") == SECRET, certificates)


async def test_a_header_opens_http_and_the_websocket(tmp_path: Path) -> None:
    async with asking_server(tmp_path) as url:
        login = login_with(ServerCredentials(HEADERS), url, [url])
        async with ComfyUIClient(url, login=login) as client:
            await client.queue()
            async with client.listening(str(uuid4()), uuid4()) as listener:
                assert await listener.wait_until_up()
        async with ComfyUIClient(url) as client:
            with pytest.raises(ComfyUIError):
                await client.queue()


async def test_a_certificate_opens_http_and_the_websocket(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with asking_server(tmp_path, certificates) as url:
        block = ComfyUIServer(
            base_url=url,
            headers=HEADERS,
            ca_file=certificates.authority,
            client_cert=certificates.certificate,
            client_key=certificates.key,
        )
        async with block.client() as client:
            await client.queue()
            async with client.listening(str(uuid4()), uuid4()) as listener:
                assert await listener.wait_until_up()
        half = ServerCredentials(HEADERS, certificates.authority)
        async with ComfyUIClient(url, login=login_with(half, url, [url])) as client:
            with pytest.raises(ComfyUIError):
                await client.queue()


async def test_only_servers_that_the_settings_name_learn_the_secret() -> None:
    known, added = "http://gpu-a:8188", "http://evil:8188"
    credentials = ServerCredentials(HEADERS)
    login = login_with(credentials, known, [known])
    assert await login.headers() == {"Authorization": SECRET}
    assert await login_with(credentials, added, [known]).headers() == {}
    assert SECRET not in repr(login)


async def test_a_header_may_be_a_reference_whose_value_changes(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    url = "http://gpu-a:8188"
    credentials = ServerCredentials({"X-Token": SecretStr(f"file:{secret}")})
    login = login_with(credentials, url, [url])
    for value in ("first", "second"):
        secret.write_text(value)
        assert await login.headers() == {"X-Token": value}


def test_references_in_headers_are_checked_with_all_others() -> None:
    settings = load_settings(comfyui_headers={"X-Token": "env:NO_SUCH_VARIABLE"})
    found = {each.where: each for each in check_references(texts_of(settings))}
    checked = found["ANIME_COMFYUI_HEADERS[X-Token]"]
    assert (checked.reference, checked.resolves) == ("env:NO_SUCH_VARIABLE", False)


def test_a_certificate_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    credentials = ServerCredentials(certificate=tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match="ANIME_COMFYUI_CLIENT_CERT"):
        login_with(credentials, "https://gpu-a", ["https://gpu-a"])
