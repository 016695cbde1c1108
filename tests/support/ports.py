"""Ports for what tests start, end and start again."""

from anime.stack.ports import PortRequest, resolve_ports


def lasting_port() -> int:
    """One that is free now, and that no outgoing connection takes while nobody listens there."""
    [port] = resolve_ports([PortRequest("a port of the tests", 0)])
    return port
