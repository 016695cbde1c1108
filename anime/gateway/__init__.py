"""Progress to whoever watches: WebSocket and server-sent events over one Redis subscription."""
