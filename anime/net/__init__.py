"""How other programs are reached: TLS, listening sockets, Prefect's API."""
