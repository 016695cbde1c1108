"""`anime services`: the stack's parts as services of systemd."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import print_note, print_result

if TYPE_CHECKING:
    from anime.settings import Settings

services = typer.Typer(
    name="services", help="The parts as services of systemd.", no_args_is_help=True
)
OfUser = Annotated[bool, typer.Option("--user", help="Your own services, without root.")]


@services.command()
def install(
    user: OfUser = False,
    account: Annotated[
        str, typer.Option(help="The system account that they run as; made if missing.")
    ] = "anime",
    only: Annotated[
        list[str] | None, typer.Option(help="Such as worker; may be repeated. All if left out.")
    ] = None,
    start: Annotated[bool, typer.Option(help="Start them now.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")
    ] = False,
) -> None:
    """Install the services with the settings in effect; again, it upgrades them."""
    from anime.stack.systemd import installation

    plan = installation.planned_installation(_settings(user), None if user else account, only or ())
    if dry_run:
        for name, text in plan.units.items():
            print_result(f"# {plan.folder / name}\n{text}")
        print_result(f"# {plan.deployment.environment_file}")
        print_result("\n".join(f"{name}=…" for name in plan.variables))
        return
    installation.install(plan, start=start)
    print_note(f"Installed in {plan.folder}; settings in {plan.deployment.environment_file}.")
    print_note("See: anime services status; anime services logs worker --follow.")


@services.command()
def uninstall(user: OfUser = False) -> None:
    """Stop the services and remove their units. Data stay."""
    from anime.stack.systemd.installation import uninstall as remove

    removed = remove(_settings(user).home, is_of_user=user)
    print_note(f"Removed {len(removed)} units. All data is kept." if removed else "None is here.")


@services.command()
def status(user: OfUser = False) -> None:
    """Show how the services are; exits with 1 if one does not run."""
    from anime.stack.systemd.installation import installed_units, show_status, unit_folder

    units = sorted(installed_units(unit_folder(is_of_user=user)))
    if not units:
        print_note("No services are installed. Install them with `anime services install`.")
        raise typer.Exit(1)
    if not show_status(units, is_of_user=user):
        raise typer.Exit(1)


@services.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="Such as worker; all if left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many.")] = 100,
    user: OfUser = False,
) -> None:
    """Show what the services have logged, from the journal."""
    from anime.stack.systemd.installation import systemd_needed, unit_named, user_option

    unit = unit_named(name) if name else "anime-*"
    command = ["journalctl", *user_option(is_of_user=user), f"--unit={unit}", f"--lines={lines}"]
    command += ["--follow"] if follow else ["--no-pager"]
    with systemd_needed():
        os.execvp(command[0], command)  # noqa: S606  what it shows, it shows itself


@services.command(hidden=True)
def run(name: Annotated[str, typer.Argument(help="postgresql, valkey, prefect …")]) -> None:
    """Run one program of others until SIGTERM; for the units."""
    import asyncio

    from anime.settings import load_settings
    from anime.stack.systemd.own_service import run_service

    asyncio.run(run_service(name, load_settings()))


@services.command()
def check(
    name: Annotated[str, typer.Argument(help="api, worker or prefect.")],
    within: Annotated[float, typer.Option(min=1, help="Seconds since a worker's last poll.")] = 90,
) -> None:
    """Exit with 0 if that service answers, and with 1 if it does not: for health checks."""
    import asyncio

    from anime.settings import load_settings
    from anime.stack.systemd.own_service import answers

    if not asyncio.run(answers(name, load_settings(), within)):
        print_note(f"{name} does not answer.")
        raise typer.Exit(1)


def _settings(is_of_user: bool) -> "Settings":
    """The settings in effect; the data folder of the system's services is no user's."""
    from anime.settings import load_settings
    from anime.stack.systemd.installation import SYSTEM_HOME

    settings = load_settings()
    if is_of_user or "home" in settings.model_fields_set:
        return settings
    return load_settings(home=SYSTEM_HOME)
