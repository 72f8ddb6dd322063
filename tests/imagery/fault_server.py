"""A web server with byte ranges, planned faults and a small STAC API; run as its own process.

Usage: fault_server.py FOLDER [PORT [DELAY_S]]. Prints its port. Paths:

/files/NAME       as it is
/once/NAME        503 to the first request of each file
/dead/NAME        always 503
/status-CODE/NAME always that status
/missing/NAME     always 404
/cut/NAME         one answer of pixels cut short (the second of each file)
/cuts/NAME        every answer but the first cut short
/stall/NAME       no answer at all
/lag/NAME         no answer to the first request
/norange/NAME     the whole file, whatever range was asked for
/few/NAME         503 to one request in twenty, which depends on file, range and count alone
/log              number of requests and of 503s below each first part of the path
/stac             an API over FOLDER/items.json, two items a page, 503 to its first search
/broken           an API that never answers
"""

import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(sys.argv[1])
CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
]
seen: dict[str, int] = {}
log: dict[str, dict[str, int]] = {}
PAGE = 2
FEW = 0.05
STALL_S = 60.0
GEOJSON = "application/geo+json"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", headers=None, cut=False):
        counts = log.setdefault(self.path.strip("/").partition("/")[0], {})
        counts[str(status)] = counts.get(str(status), 0) + 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def json(self, value):
        self.reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        kind, _, name = path.strip("/").partition("/")
        if kind == "stac":
            base = f"http://{self.headers['Host']}/stac"
            links = [
                {"rel": "self", "href": base},
                {"rel": "search", "href": f"{base}/search", "method": "POST", "type": GEOJSON},
            ]
            landing = {"type": "Catalog", "stac_version": "1.0.0", "id": "t", "description": "t"}
            self.json({**landing, "conformsTo": CONFORMS, "links": links})
            return
        if kind == "log":
            self.json(log)
            return
        seen[path] = seen.get(path, 0) + 1
        if kind == "stall" or (kind == "lag" and seen[path] == 1):
            time.sleep(STALL_S)
            self.close_connection = True
            return
        status = self.planned(kind, path)
        if status:
            self.reply(status)
            return
        file = ROOT / name
        if kind == "missing" or not file.is_file():
            self.reply(404)
            return
        self.send_file(file.read_bytes(), kind, path)

    def planned(self, kind, path):
        """Status of a planned failure; None: answer."""
        if kind.startswith("status-"):
            return int(kind.removeprefix("status-"))
        if kind in {"dead", "broken"} or (kind == "once" and seen[path] == 1):
            return 503
        return 503 if kind == "few" and self.unlucky(path) else None

    def unlucky(self, path):
        """One request in twenty, whatever the order in which files are asked for."""
        # the count of this range of this file: a repeated request draws again
        key = f"{path} {self.headers.get('Range')}"
        seen[key] = seen.get(key, 0) + 1
        drawn = hashlib.sha256(f"{key} {seen[key]}".encode()).digest()[:4]
        return int.from_bytes(drawn) < FEW * 2**32

    def send_file(self, data, kind, path):
        asked = self.headers.get("Range")
        if kind == "norange":
            self.reply(200, data)
            return
        if not asked:
            self.reply(200, data, {"Accept-Ranges": "bytes"})
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data) - 1), len(data) - 1)
        head = {"Content-Range": f"bytes {start}-{stop}/{len(data)}", "Accept-Ranges": "bytes"}
        if start > stop:
            self.reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        cut = (kind == "cut" and seen[path] == 2) or (kind == "cuts" and seen[path] > 1)
        self.reply(206, data[start : stop + 1], head, cut=cut)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        seen["search"] = seen.get("search", 0) + 1
        if seen["search"] == 1:
            self.reply(503)
            return
        items = [raw for raw in json.loads((ROOT / "items.json").read_text()) if keeps(body, raw)]
        start = int(body.get("token", 0))
        answer = {"type": "FeatureCollection", "features": items[start : start + PAGE], "links": []}
        if start + PAGE < len(items):
            href = f"http://{self.headers['Host']}/stac/search"
            after = {"rel": "next", "href": href, "method": "POST", "merge": True}
            answer["links"].append({**after, "body": {"token": str(start + PAGE)}})
        self.json(answer)


def keeps(body, raw):
    limit = (body.get("query") or {}).get("eo:cloud_cover", {}).get("lte")
    if isinstance(limit, str):
        return False
    start, stop = body["datetime"].split("/")
    cloudy = limit is not None and raw["properties"]["eo:cloud_cover"] > limit
    return start[:10] <= raw["properties"]["datetime"][:10] <= stop[:10] and not cloudy


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing: a client that hangs up is part of the plan."""


PORT, DELAY_S = [*map(float, sys.argv[2:]), 0.0, 0.0][:2]
time.sleep(DELAY_S)
server = Server(("127.0.0.1", int(PORT)), Handler)
print(server.server_address[1], flush=True)  # noqa: T201
server.serve_forever()
