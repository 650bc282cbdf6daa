"""The server: HTTP, WebSocket and the web page; no decisions."""
