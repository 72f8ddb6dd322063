"""A small STAC API with planned quirks; run as its own process.

Usage: stac_server.py FOLDER. Prints its port; serves FOLDER/items.json. The first part of a path
names the quirks, joined by dashes:
  plain     pages of the asked size
  counted   states numberMatched
  miscount  states one match more than it gives
  shaky     the first listing repeats one item and loses another, as an unstable order does
  torn      every listing does so
  loop      the next page is the same page for ever
  heavy     502 to pages of more than 20 items
  flaky     503 to the first request of each page
  dead      503 to every page after the first
  named     401 to requests without the right Authorization header
  away      the next page lies on another host name
Further: /sas/ACCOUNT/CONTAINER (a token service), /seen (the requests so far, as JSON).
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(sys.argv[1])
API = "https://api.stacspec.org/v1.0.0"
CONFORMS = [f"{API}/core", f"{API}/item-search", f"{API}/item-search#query"]
SECRET = "Bearer hunter2"
seen = []
listings = {}
failed = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def log_message(self, *args):
        pass

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def note(self, body=None):
        entry = {"method": self.command, "path": self.path, "body": body}
        seen.append({**entry, "host": self.headers["Host"], "key": self.headers["Authorization"]})

    def do_GET(self):
        self.note()
        parts = urlsplit(self.path)
        head, *rest = parts.path.strip("/").split("/")
        if head == "seen":
            self.reply(200, seen[:-1])
        elif head == "sas":
            token = f"sv=1&sig=secret-{'-'.join(rest)}"
            self.reply(200, {"msft:expiry": "2999-01-01T00:00:00Z", "token": token})
        elif rest == ["search"]:
            asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
            self.search(head.split("-"), head, asked)
        else:
            self.landing(head)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.note(body)
        head = self.path.partition("?")[0].strip("/").split("/")[0]
        self.search(head.split("-"), head, body)

    def landing(self, head):
        if "named" in head.split("-") and self.headers["Authorization"] != SECRET:
            self.reply(401, {"description": "who are you"})
            return
        base = f"http://{self.headers['Host']}/{head}"
        search = {"rel": "search", "href": f"{base}/search", "type": "application/geo+json"}
        links = [{**search, "method": "POST"}]
        landing = {"type": "Catalog", "stac_version": "1.0.0", "id": "t", "description": "t"}
        self.reply(200, {**landing, "conformsTo": CONFORMS, "links": links})

    def search(self, quirks, head, asked):
        start, limit = int(asked.get("token", 0)), int(asked["limit"])
        if "flaky" in quirks and (head, asked["datetime"], start) not in failed:
            failed.add((head, asked["datetime"], start))
            self.reply(503, {"description": "later"})
        elif "dead" in quirks and start:
            self.reply(503, {"description": f"no {self.path} today"})
        elif "heavy" in quirks and limit > 20:
            self.reply(502, {"message": "Internal server error"})
        else:
            self.reply(200, self.page(quirks, head, asked, start, limit))

    def page(self, quirks, head, asked, start, limit):
        items = [raw for raw in json.loads((ROOT / "items.json").read_text()) if meant(asked, raw)]
        items.sort(key=lambda raw: (raw["properties"]["datetime"], raw["id"]))
        key = (head, asked["datetime"])
        if start == 0:
            listings[key] = listings.get(key, 0) + 1
        unstable = "torn" in quirks or ("shaky" in quirks and listings[key] == 1)
        if unstable and len(items) > limit:
            items[limit] = items[limit - 1]
        page = {"type": "FeatureCollection", "features": items[start : start + limit], "links": []}
        if quirks[0] in {"counted", "miscount"}:
            page["numberMatched"] = len(items) + (quirks[0] == "miscount")
        if start + limit < len(items) or "loop" in quirks:
            after = 0 if "loop" in quirks else start + limit
            host = self.headers["Host"].replace("127.0.0.1", "localhost")
            place = f"http://{host if 'away' in quirks else self.headers['Host']}/{head}/search"
            link = {"rel": "next", "href": place, "method": "POST", "merge": True}
            page["links"].append({**link, "body": {"token": str(after)}})
        return page


def meant(asked, raw):
    start, stop = asked["datetime"].split("/")
    if not start <= raw["properties"]["datetime"] <= stop:
        return False
    limit = (asked.get("query") or {}).get("eo:cloud_cover", {}).get("lte")
    if limit is not None and (
        isinstance(limit, str) or raw["properties"]["eo:cloud_cover"] > limit
    ):
        return False
    if not asked.get("bbox"):
        return True
    west, south, east, north = asked["bbox"]
    left, bottom, right, top = raw["bbox"]
    # as PostGIS makes an envelope: it does not know the antimeridian
    west, east = min(west, east), max(west, east)
    return left <= east and right >= west and bottom <= north and top >= south


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)  # noqa: T201
server.serve_forever()
