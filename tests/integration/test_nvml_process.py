"""Which process serves a port, by what the operating system says."""

import os
import socket

from anime.comfyui.nvml import listens_on


def test_a_process_is_known_by_the_port_it_listens_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert listens_on(os.getpid(), port)
            assert not listens_on(os.getpid(), client.getsockname()[1])
            assert not listens_on(os.getppid(), port)
    assert not listens_on(os.getpid(), port)


def test_a_process_that_is_gone_listens_on_nothing() -> None:
    assert not listens_on(2**22 + 1, 8188)
