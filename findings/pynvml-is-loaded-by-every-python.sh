#!/bin/sh
# pynvml 13 runs code in each Python that starts in its environment, whether it uses a GPU or not.
#
# One would guess: a package that reads a GPU's memory costs those who import it, and nobody else.
# What happens: pynvml 13 brings a .pth file, so that every interpreter imports its redirector, and
# with it modules of the standard library that a bare interpreter does without: a start takes
# two to three times the CPU. Who imports pynvml is told by a FutureWarning to take another package.
# pynvml 12 does neither: its module is that of nvidia-ml-py.
# Versions: pynvml 13.0.1 and 12.0.0, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: a stack starts dozens of interpreters, and a command is one. We stay on 12.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 12.0.0 13.0.1; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "pynvml==$version"
done
python3 - "$folder" <<'PYTHON'
import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

SHOW = "import sys; print(*sorted(sys.modules))"
IMPORT = "import pynvml; print(pynvml.__name__)"


def run(version, *arguments):
    python = f"{sys.argv[1]}/{version}/bin/python"
    return subprocess.run([python, *arguments], capture_output=True, text=True)


def start_ms(version):
    before = getrusage(RUSAGE_CHILDREN)
    run(version, "-c", "pass")
    after = getrusage(RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


loaded = {version: set(run(version, "-c", SHOW).stdout.split()) for version in ("12.0.0", "13.0.1")}
more = loaded["13.0.1"] - loaded["12.0.0"]
print(f"loaded before the first line of a program, by 13 only: {len(more)} modules, such as",
      *sorted(more)[:5])
assert "_pynvml_redirector" in more
assert not any("nvml" in name for name in loaded["12.0.0"])
for version in loaded:
    start_ms(version)
times = {version: [] for version in loaded}
for _ in range(31):
    for version, taken in times.items():
        taken.append(start_ms(version))
old, new = (median(taken) for taken in times.values())
print(f"CPU of a start: {old:.1f} ms with 12, {new:.1f} ms with 13 ({new / old:.2f} times)")
assert new > 1.1 * old
warned = {version: run(version, "-W", "error", "-c", IMPORT) for version in loaded}
print("import pynvml with 13:", warned["13.0.1"].stderr.strip().splitlines()[-1][:110])
assert "FutureWarning" in warned["13.0.1"].stderr
assert (warned["12.0.0"].returncode, warned["12.0.0"].stdout) == (0, "pynvml\n")
print("As described.")
PYTHON
