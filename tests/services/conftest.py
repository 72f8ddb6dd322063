"""Real servers on loopback for a test session; everything started here ends with it."""

import json
import os
import runpy
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import rustac

from rs_monitor.config.job import load_config
from rs_monitor.config.paths import data_root
from rs_monitor.imagery.index import index_folder
from rs_monitor.pipeline.demo import CONFIG_NAME, ITEMS_NAME, SCENES, prepare
from rs_monitor.pipeline.plan import make_plan
from rs_monitor.pipeline.run import run

ROOT = Path(__file__).parents[2]
INSTALLER = ROOT / "scripts" / "services.py"
FAULTS = ROOT / "tests" / "imagery" / "fault_server.py"
REQUIRE_VARIABLE = "RS_MONITOR_REQUIRE_SERVICES"
START_S = 60
OWNER = "postgres"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

NGINX = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
  types {{ image/tiff tif; }}
  log_format asked '$status $request_method $uri $http_range';
  access_log {folder}/access.log asked;
  client_body_temp_path {folder}/spool; proxy_temp_path {folder}/spool;
  fastcgi_temp_path {folder}/spool; uwsgi_temp_path {folder}/spool; scgi_temp_path {folder}/spool;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/www;
  }}
}}
"""


@pytest.fixture(scope="session")
def programs():
    """Programs of the servers by name."""
    found, missing = runpy.run_path(str(INSTALLER))["programs"]()
    if missing:
        reason = f"{', '.join(missing)} missing: run `python scripts/services.py install`"
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def room():
    """Folder of the servers; its own, because the database's user must be able to enter it."""
    with tempfile.TemporaryDirectory(
        prefix="rs_monitor_services_", ignore_cleanup_errors=True
    ) as f:
        folder = Path(f)
        folder.chmod(0o755)
        yield folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url):
    try:
        with DIRECT.open(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


@contextmanager
def running(programs, command, log, ready, *, end=signal.SIGTERM, user=(), **options):
    """A server until the block ends; it also ends when this process is killed."""
    guard = [programs["setpriv"], f"--pdeathsig={end.name.removeprefix('SIG')}", *user, "--"]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            **options,
        )
    try:
        _await(process, log, ready)
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process, log, ready):
    limit = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > limit:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            pytest.fail(f"{log.stem} did not start within {START_S} s:\n{tail}")
        time.sleep(0.1)


def call(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        words = " ".join(map(str, command))
        pytest.fail(f"failed: {words}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


@contextmanager
def postgres(programs, room):
    """A PostgreSQL with pgstac in it; gives the environment to reach it."""
    folder = room / "postgres"
    folder.mkdir(mode=0o700)
    password = folder / "password"
    password.write_text(secrets.token_urlsafe(24))
    user = ()
    if os.geteuid() == 0:  # PostgreSQL refuses root
        user = (f"--reuid={OWNER}", f"--regid={OWNER}", "--init-groups", "--inh-caps=-all")
        for path in (folder, password):
            shutil.chown(path, OWNER, OWNER)
    tools = programs["postgres"].parent
    initdb = [tools / "initdb", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
    initdb += ["-U", "tester", "--pwfile", password, "-D", folder / "data"]
    call([programs["setpriv"], *user, "--", *initdb], cwd=folder)
    port = str(free_port())
    reach = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "tester", "PGDATABASE": "postgres"}
    reach = os.environ | reach | {"PGPASSWORD": password.read_text()}
    # nothing here has to survive a power cut
    fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "jit": "off"}
    fast |= {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
    options = [word for key, value in fast.items() for word in ("-c", f"{key}={value}")]
    command = [programs["postgres"], "-D", folder / "data", *options]

    def ready():
        asked = [tools / "psql", "--no-psqlrc", "--command", "select 1"]
        return subprocess.run(asked, env=reach, capture_output=True, check=False).returncode == 0

    log = room / "postgres.log"
    with running(programs, command, log, ready, end=signal.SIGQUIT, user=user, cwd=folder):
        call([programs["pypgstac"], "migrate"], env=reach)
        yield reach


@pytest.fixture(scope="session")
def database(programs, room):
    with postgres(programs, room) as reach:
        yield reach


@dataclass(frozen=True)
class StacApi:
    """A running STAC API and the way to fill it."""

    url: str
    pypgstac: Path
    reach: dict = field(repr=False)
    folder: Path = field(repr=False)

    def load(self, collection, items):
        """Put items into a collection of their own."""
        head = {
            "type": "Collection",
            "id": collection,
            "stac_version": "1.1.0",
            "description": collection,
            "license": "other",
            "links": [],
            "extent": {
                "spatial": {"bbox": [[-180, -90, 180, 90]]},
                "temporal": {"interval": [[None, None]]},
            },
        }
        members = [raw | {"collection": collection} for raw in items]
        for kind, rows in (("collections", [head]), ("items", members)):
            path = self.folder / f"{collection}_{kind}.ndjson"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            call([self.pypgstac, "load", kind, path, "--method", "insert"], env=self.reach)

    def settings(self, *collections):
        """Keys of a job that make it search here."""
        return {
            "catalog.kind": "api",
            "catalog.href": self.url,
            "catalog.collections": list(collections),
        }


@contextmanager
def stac_server(programs, database, room):
    """stac-fastapi over a database."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [programs["uvicorn"], "--factory", "stac_fastapi.pgstac.app:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    log = room / "stac-api.log"
    with running(
        programs, command, log, lambda: answers(f"{url}/_mgmt/ping"), cwd=room, env=database
    ):
        yield StacApi(url, programs["pypgstac"], database, room)


@pytest.fixture(scope="session")
def stac_api(programs, database, room):
    with stac_server(programs, database, room) as api:
        yield api


@dataclass(frozen=True)
class WebServer:
    """Files over HTTP with byte ranges."""

    url: str
    folder: Path

    def publish(self, name, folder):
        """Serve a folder under a name; gives its address."""
        (self.folder / "www" / name).symlink_to(folder)
        return f"{self.url}/{name}"

    def answered(self, status, path):
        """Number of answers of a status to requests below a path."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return sum(
            line.startswith((f"{status} GET {path}", f"{status} HEAD {path}")) for line in lines
        )


@pytest.fixture(scope="session")
def web(programs, room):
    """nginx as an object store would answer."""
    folder = room / "nginx"
    for name in ("www", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "www" / "up.txt").write_text("up\n")
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    settings = folder / "nginx.conf"
    settings.write_text(NGINX.format(user=user, folder=folder, port=port))
    command = [programs["nginx"], "-e", folder / "error.log", "-p", folder, "-c", settings]
    url = f"http://127.0.0.1:{port}"
    with running(programs, command, room / "nginx.log", lambda: answers(f"{url}/up.txt")):
        yield WebServer(url, folder)


@pytest.fixture(scope="session")
def faulty(programs, web):
    """A web server with planned faults over every published folder; gives its address."""
    guard = [programs["setpriv"], "--pdeathsig=TERM", "--"]
    command = [*guard, sys.executable, FAULTS, web.folder / "www"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@dataclass(frozen=True)
class Source:
    """A job on a folder, and its items as a catalogue over HTTP would give them."""

    job: Path
    base: Path
    data: Path
    items: tuple
    address: str
    overrides: dict = field(default_factory=dict)

    def moved(self, place):
        """The items, each file at the address `place(item id, file name)` gives."""
        return [_moved(raw, place) for raw in self.items]

    def served(self):
        """The items with their files on the web server."""
        return self.moved(lambda _, name: f"{self.address}/{name}")

    def through(self, settings):
        """The same source with some keys of the job set anew."""
        return replace(self, overrides=self.overrides | settings)

    def run(self, out):
        """Run the job into a folder; its register lies beside it."""
        job = load_config(self.job, self.overrides)
        plan = make_plan(job, base=self.base, data=self.data)
        return run(plan, out / "run", config_text=self.job.read_text(encoding="utf-8"))


def _moved(raw, place):
    assets = {
        name: asset | {"href": place(raw["id"], Path(asset["href"]).name)}
        for name, asset in raw["assets"].items()
    }
    return raw | {"assets": assets}


@pytest.fixture(scope="session")
def taizhou(shared_data, stac_api, web, tmp_path_factory):
    """The real scenes: indexed as a folder, and in the API with their files on the web server."""
    images = shared_data / "taizhou_landsat"
    data = tmp_path_factory.mktemp("taizhou")
    configs = data_root() / "configs"
    items = data / "taizhou_items.parquet"
    index_folder(images, items, side_table=configs / "index" / "taizhou.toml")
    address = web.publish("taizhou", images)
    raws = tuple(rustac.read_sync(str(items))["features"])
    source = Source(configs / "taizhou.toml", configs, data, raws, address)
    stac_api.load("taizhou", source.served())
    return source


@pytest.fixture(scope="session")
def made_township(tmp_path_factory):
    """Folder and truth of a small synthetic township."""
    base = tmp_path_factory.mktemp("township")
    return base, prepare(7, base, size_px=160, events_per_kind=1, lookalikes_per_kind=1)


@pytest.fixture(scope="session")
def township(made_township, stac_api, web):
    """The township as a folder, and in the API with its files on the web server."""
    base, _ = made_township
    address = web.publish("township", base / SCENES)
    raws = tuple(rustac.read_sync(str(base / ITEMS_NAME))["features"])
    # a small forest: the same for every run, and quick to train
    small = {"land_cover.trees": 20}
    source = Source(base / CONFIG_NAME, base, base, raws, address, small)
    stac_api.load("township", source.served())
    return source


@pytest.fixture(scope="session")
def taizhou_folder_run(taizhou, tmp_path_factory):
    """The run on the folder, which every other way must equal."""
    return taizhou.run(tmp_path_factory.mktemp("taizhou_folder"))


@pytest.fixture(scope="session")
def township_folder_run(township, tmp_path_factory):
    return township.run(tmp_path_factory.mktemp("township_folder"))
