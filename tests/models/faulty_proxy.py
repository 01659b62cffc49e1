"""A store, a proxy in front of it that spoils answers by script, and a tunnel to a gateway that can be shut."""

import contextlib
import select
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 64 * 1024


class _Listener:
    """Accepts connections, each served by a thread of its own, until it is closed."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.closing = threading.Event()
        self._open, self._threads = set(), []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self):
        while True:
            try:
                made, _ = self._socket.accept()
            except OSError:
                return
            if self.closing.is_set():
                made.close()
                return
            self._open.add(made)
            thread = threading.Thread(target=self._serve_one, args=(made,))
            self._threads.append(thread)
            thread.start()

    def _serve_one(self, made):
        with contextlib.suppress(OSError, ValueError):
            self.serve(made)
        self._open.discard(made)
        made.close()

    def end_connections(self):
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.closing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join()
        self._socket.close()
        self.end_connections()
        for each in self._threads:
            each.join()


class Store:
    """Objects under paths, with ETags, ranges and If-Range."""

    def __init__(self):
        self.objects = {}
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with contextlib.suppress(ConnectionError):
                    store.serve(self)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def put(self, content):
        path = f"/{len(self.objects)}"
        self.objects[path] = content
        return path

    def serve(self, handler):
        content = self.objects[handler.path]
        asked, etag = handler.headers.get("Range", ""), f'"{handler.path}"'
        if handler.headers.get("If-Range", etag) != etag:
            asked = ""
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.send_header("ETag", etag)
        handler.end_headers()
        handler.wfile.write(content[start:])

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Proxy(_Listener):
    """``faults`` are used up one for each request, then ``always`` counts; with ``context`` it speaks TLS."""

    def __init__(self, upstream):
        self.upstream, self.faults, self.always, self.context = upstream, [], None, None
        self.requests = []
        """Of each: the range that was asked for, or ''."""
        super().__init__()

    def serve(self, made):
        if self.context is not None:
            with self.context.wrap_socket(made, server_side=True) as secured:
                self._one(secured)
        else:
            self._one(made)

    def _one(self, made):
        head = _head(made)
        lines = head.decode("latin-1").split("\r\n")
        told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.requests.append(told.get("range", ""))
        fault = self.faults.pop(0) if self.faults else self.always
        if fault == "close":
            return
        if fault == "redirect":
            made.sendall(f"HTTP/1.1 302 x\r\nLocation: {lines[0].split()[1]}\r\n{_EMPTY}".encode())
        elif fault == "endless 404":
            made.sendall(b"HTTP/1.1 404 x\r\nConnection: close\r\n\r\n")
            while not self.closing.is_set():
                made.sendall(b"x" * BLOCK)
        elif isinstance(fault, int):
            made.sendall(f"HTTP/1.1 {fault} x\r\n{_EMPTY}".encode())
        else:
            self._forward(made, head, fault)

    def _forward(self, made, head, fault):
        with socket.create_connection(("127.0.0.1", self.upstream)) as store:
            store.sendall(head)
            answer = _head(store)
            body = b"".join(iter(lambda: store.recv(BLOCK), b""))
        half = len(body) // 2
        if fault in ("corrupt", "corrupt and truncate"):
            body = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
        if fault == "other etag":
            answer = answer.replace(b'ETag: "', b'ETag: "old-')
            body = b"y" * half
        elif fault in ("longer", "shorter"):
            more = 100 if fault == "longer" else -100
            answer = answer.replace(
                f"Content-Length: {len(body)}".encode(), f"Content-Length: {len(body) + more}".encode()
            )
            body = (body + b"z" * 100)[: len(body) + more]
        made.sendall(answer)
        if fault in ("truncate", "stall", "corrupt and truncate"):
            body = body[:half]
        made.sendall(body)
        if fault == "stall":
            with contextlib.suppress(OSError):
                made.recv(1)  # until the other side has had enough


_EMPTY = "Content-Length: 0\r\nConnection: close\r\n\r\n"


def _head(made):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = made.recv(1)
        if not byte:
            raise ConnectionResetError
        head += byte
    return head


class Tunnel(_Listener):
    """Bytes to and from a gateway; shut, it closes every connection, with a certificate of its own if it is given one."""

    def __init__(self, upstream):
        self._upstream, self._is_shut, self._context = upstream, False, None
        self._refused = threading.Semaphore(0)
        super().__init__()

    def shut(self, context=None):
        """From now on nobody gets through; a semaphore that counts who was refused."""
        self._refused, self._context, self._is_shut = threading.Semaphore(0), context, True
        self.end_connections()
        return self._refused

    def let_in(self):
        self._is_shut = False

    def serve(self, made):
        if not self._is_shut:
            with socket.create_connection(("127.0.0.1", self._upstream)) as gateway:
                self._carry(made, gateway)
            return
        try:
            if self._context is not None:
                with contextlib.suppress(ssl.SSLError):
                    self._context.wrap_socket(made, server_side=True).close()
        finally:
            self._refused.release()

    def _carry(self, made, gateway):
        other = {made: gateway, gateway: made}
        while True:
            for each in select.select(list(other), [], [])[0]:
                block = each.recv(BLOCK)
                if not block:
                    return
                other[each].sendall(block)
