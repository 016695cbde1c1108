"""An anime studio's image production on ComfyUI, run by Prefect."""

import sys

# redis imports it in every process, used or not, wherever it is installed: 30 ms and 3 MB. The SDK
# is here for traces, and nothing of ours exports metrics with it.
sys.modules.setdefault("opentelemetry.sdk.metrics", None)  # type: ignore[arg-type]  # not found
# httpx imports its command line, with what colours it, wherever that can be: 30 ms and 4 MB.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # as above
