"""Says where the requests go, from one URL."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None = None

    @staticmethod
    def of(url: str) -> Target:
        """Makes a target from http(s)://host[:port][/path]; without a path it is the native dialect's.

        Raises ValueError.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http(s) URL: {url}")
        is_tls = parts.scheme == "https"
        return Target(
            host=parts.hostname,
            port=parts.port or (443 if is_tls else 80),
            path=parts.path if parts.path not in {"", "/"} else "/f",
            tls=ssl.create_default_context() if is_tls else None,
        )

    def reach(self, timeout_s: float) -> None:
        """Returns once the server accepts a connection. Raises OSError."""
        socket.create_connection((self.host, self.port), timeout_s).close()

    def head(self) -> bytes:
        """Returns the lines with which every request begins."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"POST {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\n".encode("ascii")
