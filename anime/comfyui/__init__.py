"""ComfyUI's protocol without I/O, and the client that speaks it."""
