"""A web server with byte ranges, planned faults and a small STAC API; run as its own process.

Usage: fault_server.py FOLDER. Prints its port. Paths: /files/NAME, /once/NAME (503 to the first
request of each file), /dead/NAME (always 503), /cut/NAME (one answer cut short), /stac (an API over
FOLDER/items.json, two items a page, 503 to its first search), /broken (an API that never answers).
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(sys.argv[1])
CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
]
seen: dict[str, int] = {}
PAGE = 2
GEOJSON = "application/geo+json"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", headers=None, cut=False):
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
        seen[path] = seen.get(path, 0) + 1
        if kind in {"dead", "broken"} or (kind == "once" and seen[path] == 1):
            self.reply(503)
            return
        file = ROOT / name
        if kind == "missing" or not file.is_file():
            self.reply(404)
            return
        self.send_file(file.read_bytes(), kind, path)

    def send_file(self, data, kind, path):
        asked = self.headers.get("Range")
        if not asked:
            self.reply(200, data, {"Accept-Ranges": "bytes"})
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data) - 1), len(data) - 1)
        head = {"Content-Range": f"bytes {start}-{stop}/{len(data)}", "Accept-Ranges": "bytes"}
        self.reply(206, data[start : stop + 1], head, cut=kind == "cut" and seen[path] == 2)

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


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)  # noqa: T201
server.serve_forever()
