"""What the system shows of the programs of a running stack: no secret but where it has to be."""

from contextlib import suppress

import psutil

from tests.stack.conftest import SECRETS, StackUnderTest

# As docs/security.md says: our own programs have the settings as they were given.
AS_GIVEN = {"header", "webhook", "collector"}
HOLDERS = {
    "anime up": AS_GIVEN,
    "api": AS_GIVEN | {"prefect"},
    "worker": AS_GIVEN | {"prefect"},
    "prefect": AS_GIVEN | {"prefect"},
}
OTHERS = ("rehearsal", "valkey-server", "postgres", "limited_process")


async def test_no_program_shows_a_secret_but_those_that_were_given_it(
    stack: StackUnderTest,
) -> None:
    done = await stack.anime("generate", "petals", "--width", "64", "--height", "64")
    assert done.returncode == 0, done.stderr  # so a process of the worker's has read its file
    assert stack.process is not None
    secrets = {**SECRETS, "prefect": stack.record.settings["prefect_api_auth_string"]}
    names = {part.pid: name for name, part in stack.record.parts.items()}
    names[stack.process.pid] = "anime up"
    held, commands = dict[str, set[str]](), list[str]()
    for pid in {*stack.processes(), stack.process.pid}:
        with suppress(psutil.NoSuchProcess):  # a connection to PostgreSQL has one while it lasts
            process = psutil.Process(pid)
            command, shown = " ".join(process.cmdline()), "\0".join(process.environ().values())
        commands.append(command)
        found = {name for name, secret in secrets.items() if secret in shown}
        assert found <= HOLDERS.get(names.get(pid, ""), set()), (command, found)
        held |= {names[pid]: found} if found else {}
    assert held == HOLDERS
    assert [each for each in OTHERS if not any(each in command for command in commands)] == []
    assert [each for each in commands if any(secret in each for secret in secrets.values())] == []
