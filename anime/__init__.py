"""An anime studio's image production on ComfyUI, run by Prefect."""

import gc
import sys

# By default, Python looks for garbage at each 700th object that is new: a tenth of the CPU of a
# program that starts, and 7 % of that of Prefect's server and the worker. Nearly nothing is found.
gc.set_threshold(20_000, 20, 50)
# redis imports it in every process, used or not, wherever it is installed: 30 ms and 3 MB. The SDK
# is here for traces, and nothing of ours exports metrics with it.
sys.modules.setdefault("opentelemetry.sdk.metrics", None)  # type: ignore[arg-type]  # not found
# httpx imports its command line, with what colours it, wherever that can be: 30 ms and 4 MB.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # as above
