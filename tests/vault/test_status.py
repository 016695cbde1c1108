"""What doctor, `/ready`, `/metrics` and `anime vault check` say of a real Vault."""

import asyncio
import json
import re
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from http import HTTPStatus
from io import StringIO
from pathlib import Path
from unittest import mock

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from anime.api.metrics import Metrics
from anime.api.readiness import State, readiness
from anime.cli.app import main
from anime.cli.doctor_checks import run_checks
from anime.db.session import Database
from anime.errors import ConfigurationError
from anime.jobs.probes import CheckWarning, check_vault
from anime.net.vault import RESOLVER
from anime.net.vault.start import resolve_at_start
from anime.settings import Settings, get_settings, load_settings, resolve_reference
from anime.stack import prefect_program
from anime.stack.prefect_command import PROGRAM, prefect_module
from blocks.vault import StudioVault
from tests.integration.progress_peer import gateway_settings, running_api
from tests.integration.webhook_peer import SECRET as WEBHOOK_SECRET
from tests.support.waiting import HUNG_SECONDS
from tests.vault.openbao import OpenBao, passed_on
from tests.vault.postgres import VaultedDatabase, longer_role
from tests.vault.prefects_own import prefects_own

CANARY = "never shown 7c1d"
IS_GOOD_UNTIL = re.compile(
    r"is sealed\. .* known goes on until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
)
# What a process with a renewer does, step by step: a line for each.
HOLDER = """
import sys
from anime.net.vault import RESOLVER
from anime.settings.secret_references import resolve_reference
RESOLVER.process = "a worker"
sys.stdin.readline()
resolve_reference(sys.argv[1])
print("known", flush=True)
sys.stdin.readline()
RESOLVER.session()._check()
RESOLVER._status_file.write(RESOLVER.process, RESOLVER.status())
print("checked", flush=True)
sys.stdin.readline()
"""


@pytest_asyncio.fixture
async def configured(openbao: OpenBao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings by variables: a Vault that answers, and references to it."""
    file = tmp_path / "token"
    file.write_text(await openbao.new_token())
    await openbao.put("anime/studio", password=CANARY, url="redis://127.0.0.1:1", zone="Asia/Tokyo")
    for name, value in {
        "ANIME_VAULT_URL": openbao.url,
        "ANIME_VAULT_TOKEN": f"file:{file}",
        "ANIME_API_TOKEN": "vault:secret/anime/studio#password, env:STUDIO_TOKEN",
        "ANIME_REDIS_URL": "vault:secret/anime/studio#url",
        "ANIME_TIMEZONE": "vault:secret/anime/studio#zone",
        "STUDIO_TOKEN": CANARY,
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    return get_settings()


async def run(*words: str) -> tuple[object, str, str]:
    """The exit code of an `anime` command, and what it has printed."""

    def call() -> object:
        with redirect_stdout(out), redirect_stderr(err), mock.patch("sys.argv", ["anime", *words]):
            with pytest.raises(SystemExit) as end:
                main()
            return end.value.code

    out, err = StringIO(), StringIO()
    return await asyncio.to_thread(call), out.getvalue(), err.getvalue()


async def test_vault_check_shows_each_reference_and_no_value(configured: Settings) -> None:
    code, out, err = await run("vault", "check")
    assert code == 0, err
    assert re.search(r"ANIME_API_TOKEN +vault:secret/anime/studio#password +yes +no lease", out)
    assert re.search(r"ANIME_API_TOKEN +env:STUDIO_TOKEN +yes", out)
    assert configured.timezone == "Asia/Tokyo"
    assert re.search(r"ANIME_TIMEZONE +vault:secret/anime/studio#zone +yes", out)
    assert re.search(r"ANIME_VAULT_TOKEN +file:/\S+/token +yes", out)
    assert "a token that is renewed" in err
    assert "Blocks in Prefect are not checked: No Prefect server is known" in err
    assert "restart" not in err
    assert CANARY not in out + err


async def test_vault_check_says_as_json_what_does_not_resolve(
    configured: Settings, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_WEBHOOK_SECRET", "vault:secret/anime/none#key")
    monkeypatch.delenv("STUDIO_TOKEN")
    monkeypatch.setenv("ANIME_PREFECT_DATABASE_URL", "postgresql://a:{env:STUDIO_TOKEN}@db/b")
    assert "changes: restart `anime up`" in " ".join((await run("vault", "check"))[2].split())
    code, out, _ = await run("vault", "check", "--json")
    assert code == 1
    assert "restart `anime up`" in json.loads(out)["kept"]
    found = {each["reference"]: each for each in json.loads(out)["references"]}
    assert found["vault:secret/anime/studio#password"]["resolves"] is True
    assert "does not exist" in found["vault:secret/anime/none#key"]["error"]
    assert "not set here" in found["env:STUDIO_TOKEN"]["error"]
    assert CANARY not in out


async def test_the_probe_tells_how_vault_is_and_until_when_one_can_go_on(
    configured: Settings, openbao: OpenBao
) -> None:
    assert "answers; a token that is renewed" in await check_vault(configured)
    resolve_reference("vault:secret/anime/studio#password")
    await openbao.seal()
    try:
        RESOLVER.session()._check()  # as the renewer does every ten seconds
        with pytest.raises(ConfigurationError, match=r"is sealed\. .* is known goes on for as"):
            await check_vault(configured)
        assert resolve_reference("vault:secret/anime/studio#password") == CANARY
        (told,) = (each for each in await run_checks(configured) if each.system == "vault")
        assert not told.ok
        assert told.todo
        assert await figures("anime_vault_up") == ["0.0"]
    finally:
        await openbao.unseal()


@pytest_asyncio.fixture
async def running(configured: Settings) -> AsyncIterator[Process]:
    """Another process that has a lease of Vault's, with its name among the arguments."""
    command = (sys.executable, "-c", HOLDER, "vault:database/creds/anime#username")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def test_f70_a_sealed_vault_is_told_with_the_time_until_which_each_process_goes_on(
    configured: Settings,
    vaulted: VaultedDatabase,
    openbao: OpenBao,
    running: Process,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await openbao.ask("POST", "database/roles/anime", await longer_role(openbao))
    resolve_reference("vault:database/creds/anime#username")
    assert running.stdin
    assert running.stdout
    running.stdin.write(b"resolve\n")
    assert (await running.stdout.readline()).strip() == b"known"
    monkeypatch.setattr("anime.api.readiness.NEEDED", ())  # what no test of Vault has
    await openbao.seal()
    try:
        RESOLVER.session()._check()  # as the renewer does every ten seconds
        running.stdin.write(b"check\n")
        assert (await running.stdout.readline()).strip() == b"checked"
        async with Database(vaulted.owner_url) as database:
            ready = await readiness(configured, database)
        told = ready.dependencies["vault"]
        assert (ready.status, told.state) == ("ready", State.DOWN)
        assert IS_GOOD_UNTIL.search(str(told.error))
        assert await figures("anime_vault_up") == ["0.0"]
        (until,) = await figures("anime_vault_until_timestamp_seconds")
        assert time.time() + 1800 < float(until) < time.time() + 2 * 3600
        checked = {each.system: each for each in await run_checks(configured)}
        assert not checked["vault"].ok
        other = rf"a worker \(process {running.pid}\): .*{IS_GOOD_UNTIL.pattern}"
        assert re.search(other, checked["vault"].detail)
        assert all(each.detail for each in checked.values())
    finally:
        await openbao.unseal()


async def test_without_a_vault_none_is_missed() -> None:
    assert "not set up" in await check_vault(load_settings())
    assert await figures("anime_vault_up") == []


async def figures(name: str) -> Sequence[str]:
    """The values that `/metrics` has under that name."""
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    text = (await Metrics().collect(database, [])).decode()
    return re.findall(rf"^{name}{{.*}} (\S+)$", text, re.MULTILINE)


async def test_a_root_token_is_a_warning(
    configured: Settings, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_VAULT_TOKEN", openbao.root_token)
    RESOLVER.close()  # as in a new process
    get_settings.cache_clear()
    with pytest.raises(CheckWarning, match="a root token") as warning:
        await check_vault(get_settings())
    assert "policy" in warning.value.todo


async def test_the_block_is_the_vault_of_the_process_that_opens_it(openbao: OpenBao) -> None:
    await openbao.put("anime/block", password="by block")
    token = await openbao.new_token()
    block = StudioVault(url=openbao.url, auth="token", token=SecretStr(token))
    assert token not in repr(block)
    assert block.client().values(["secret/anime/block#password"]) == {
        "secret/anime/block#password": "by block"
    }


async def test_prefect_gets_a_login_that_is_a_reference_within_its_own_process(
    configured: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = load_settings(prefect_api_auth_string=SecretStr("a:b"))
    assert prefect_module(plain, "prefect") == (*PROGRAM, "prefect")
    reference = "anime:{vault:secret/anime/studio#password}"
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", reference)
    get_settings.cache_clear()
    followed = prefect_module(get_settings(), "told_login")
    assert followed[:3] == PROGRAM
    (tmp_path / "told_login.py").write_text(
        "import os, sys; from prefect.settings import PREFECT_API_AUTH_STRING as login;"
        "print(login.value(), sys.argv[1:], os.environ['PREFECT_API_AUTH_STRING'])"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prefect_program"])
    out = StringIO()
    with prefects_own(), redirect_stdout(out):
        await asyncio.to_thread(prefect_program._main, *followed[3:], "worker", "start")
    assert out.getvalue() == f"anime:{CANARY} ['worker', 'start'] {reference}\n"


def test_who_has_no_vault_loads_nothing_for_it() -> None:
    code = (
        "import sys; from anime.settings import resolve_reference;"
        "import anime.net.vault;"
        "resolve_reference('redis://x'); print('hvac' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


async def test_api_and_worker_refuse_to_start_while_vault_is_sealed(
    configured: Settings, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANIME_API_TOKEN", "ANIME_TIMEZONE"):
        monkeypatch.delenv(name)  # what is left is needed when the first connection opens
    monkeypatch.setenv("ANIME_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    await openbao.seal()
    try:
        ended = await asyncio.gather(ending("serve"), ending("worker"))
    finally:
        await openbao.unseal()
    for code, said in ended:
        assert (code, said.count("is sealed. ")) == (1, 1), said
        assert "Unseal it, or wait until somebody has." in said
        assert "Traceback" not in said
    assert list(configured.logs.glob("bug-*")) == []


async def ending(command: str) -> tuple[int | None, str]:
    """The exit code of an `anime` command in a process of its own, and what it has printed."""
    anime = Path(sys.executable).with_name("anime")
    process = await asyncio.create_subprocess_exec(anime, command, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(HUNG_SECONDS):
        said, _ = await process.communicate()
    return process.returncode, " ".join(said.decode().split())


async def test_a_slow_vault_holds_up_no_request(
    configured: Settings,
    openbao: OpenBao,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await openbao.put("anime/slow", token="slow", name="127.0.0.1", key=WEBHOOK_SECRET)
    goes_on = asyncio.Event()
    goes_on.set()
    async with passed_on(openbao, goes_on=goes_on) as port:
        monkeypatch.setenv("ANIME_VAULT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("ANIME_VAULT_TIMEOUT_SECONDS", "120")
        monkeypatch.setenv("ANIME_COMFYUI_URL", "http://{vault:secret/anime/slow#name}:1")
        monkeypatch.setenv("ANIME_WEBHOOK_SECRET", "vault:secret/anime/slow#key")
        monkeypatch.setenv("ANIME_API_TOKEN", "vault:secret/anime/slow#token")
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "a:{vault:secret/anime/slow#token}")
        monkeypatch.delenv("ANIME_TIMEZONE")
        RESOLVER.close()  # as in a new process
        name = "{vault:secret/anime/slow#name}"
        settings = gateway_settings(
            f"{database_url}&application_name={name}", f"{redis_url}&client_name={name}"
        )
        # Vault answers by the loop of the API: who would wait for it there got no answer.
        await resolve_at_start(settings, "API")
        async with (
            running_api(settings) as api,
            httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as http,
        ):
            monkeypatch.setattr("anime.net.vault.session.REFRESH_MIN_SECONDS", 0)
            names = ["secret/anime/slow#token"]
            goes_on.clear()
            asked = asyncio.create_task(asyncio.to_thread(RESOLVER.refresh, names))
            headers = {"Authorization": "Bearer slow"}
            for path in ("/api/anime/jobs", "/api/anime/servers", "/health"):
                answer = await http.get(f"{api.http_url}{path}", headers=headers)
                assert answer.status_code == HTTPStatus.OK
            assert not asked.done()
            goes_on.set()
            await asked
