"""Which process of this machine serves a port."""

import psutil


def listens_on(pid: int, port: int) -> bool:
    """Whether the process listens on that TCP port; false if it is gone, or not ours to look at."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(
        each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
        for each in connections
    )
