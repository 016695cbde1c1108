"""The ComfyUI servers that the studio knows: watched by itself, kept by people."""
