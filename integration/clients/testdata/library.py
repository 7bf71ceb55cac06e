"""What programs do with Docker's library for Python: library.py IMAGE.

The engine is DOCKER_HOST's. Each function is one test; the first that fails ends it.
"""
import io
import socket
import sys
import tarfile
import tempfile
import threading
import urllib.request

import docker

IMAGE = sys.argv[1]


def is_(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def fails(error, do, *words):
    try:
        do()
    except error as e:
        for word in words:
            assert word in str(e), f"{word!r} is not in {e}"
        return e
    raise AssertionError(f"no {error.__name__}")


def system(c):
    assert c.ping()
    is_(c.info()["Containers"], 0)
    assert c.version()["ApiVersion"]
    assert c.df() # its keys are others from API 1.52 on


def images(c):
    is_(c.images.get(IMAGE).tags, [IMAGE])
    assert IMAGE in [t for i in c.images.list() for t in i.tags]
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/Dockerfile", "w") as f:
            f.write(f"FROM {IMAGE}\nARG WORD\nLABEL word=$WORD\nRUN echo $WORD >/word\nCMD cat /word\n")
        built, log = c.images.build(path=d, tag="library:1", buildargs={"WORD": "built"}, rm=True)
        assert any("Step" in line.get("stream", "") for line in log), "no log of a build"
        with open(f"{d}/Dockerfile", "a") as f:
            f.write("RUN exit 7\n")
        fails(docker.errors.BuildError, lambda: c.images.build(path=d, buildargs={"WORD": "x"}), "7")
    is_(built.labels, {"word": "built"})
    is_(c.containers.run("library:1", remove=True), b"built\n")
    built.tag("other", "2")
    saved = b"".join(built.save(named="library:1"))
    c.images.remove("library:1")
    c.images.remove("other:2")
    fails(docker.errors.ImageNotFound, lambda: c.images.get("library:1"), "No such image: library:1")
    is_([i.tags for i in c.images.load(saved)], [["library:1"]])
    assert c.images.get("library:1").history()
    c.images.remove("library:1")


def run(c):
    is_(c.containers.run(IMAGE, "echo hello", remove=True), b"hello\n")
    is_(c.containers.run(IMAGE, ["sh", "-c", "echo out; echo err >&2"], remove=True, stderr=True, stdout=False), b"err\n")
    e = fails(docker.errors.ContainerError, lambda: c.containers.run(IMAGE, ["sh", "-c", "echo why >&2; exit 3"], remove=True), "why")
    is_(e.exit_status, 3)
    fails(docker.errors.ImageNotFound, lambda: c.api.create_container("no-such-image"), "No such image")
    fails(docker.errors.APIError, lambda: c.containers.run(IMAGE, "no-such-command", name="bad"), "no-such-command")
    c.containers.get("bad").remove()
    fails(docker.errors.NotFound, lambda: c.containers.get("nobody"), "No such container: nobody")


def options(c):
    """Options that go by their own names, read back from within."""
    got = c.containers.run(
        IMAGE, ["sh", "-c", "echo $A; hostname; id -u; pwd; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; grep -c /scratch /proc/mounts; ulimit -n; cat /bound/file"],
        remove=True, environment={"A": "b"}, hostname="named", user="1234", working_dir="/tmp", mem_limit="64m",
        tmpfs={"/scratch": "size=1m"}, ulimits=[docker.types.Ulimit(name="nofile", soft=99, hard=99)],
        mounts=[docker.types.Mount("/bound", "library", type="volume")],
        cap_drop=["ALL"], read_only=True, extra_hosts={"other": "10.0.0.1"}, init=True)
    is_(got.decode().split(), ["b", "named", "1234", "/tmp", "67108864", "1", "99", "content"])


def serving(web):
    for _ in range(600):  # there is no event for it
        if web.exec_run("wget -q -O /dev/null http://127.0.0.1/").exit_code == 0:
            return
    raise AssertionError("no answer")


def lifecycle(c):
    web = c.containers.run(IMAGE, ["httpd", "-f", "-v", "-h", "/var/www"], detach=True, init=True, name="web",
                           ports={"80/tcp": ("127.0.0.1", None)}, labels={"part": "web"})
    is_(web.status, "created")
    web.reload()
    is_(web.status, "running")
    port = web.ports["80/tcp"][0]["HostPort"]
    is_([x.name for x in c.containers.list(filters={"label": "part=web"})], ["web"])
    code, out = web.exec_run(["sh", "-c", "echo in; echo err >&2; exit 4"], demux=True)
    is_((code, out), (4, (b"in\n", b"err\n")))
    serving(web)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as r:
        assert b"<" in r.read()
    assert b"response:200" in web.logs()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("put")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"file"))
    assert web.put_archive("/tmp", archive.getvalue())
    chunks, stat = web.get_archive("/tmp/put")
    is_(stat["size"], 4)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        is_(tar.extractfile("put").read(), b"file")
    assert {"Path": "/tmp/put", "Kind": 1} in web.diff()
    assert "httpd" in str(web.top()["Processes"])
    assert web.stats(stream=False)["memory_stats"]["usage"] > 0
    samples = web.stats(decode=True)
    first, second = next(samples), next(samples)
    assert first["read"] < second["read"]
    web.pause()
    web.reload()
    is_(web.status, "paused")
    web.unpause()
    web.update(mem_limit="80m", memswap_limit="80m")
    web.rename("renamed")
    web.restart(timeout=1)
    serving(web)
    web.stop(timeout=1)
    is_(web.wait()["StatusCode"], 143)  # of SIGTERM
    image = web.commit("library-commit", "1")
    assert image.id
    c.images.remove("library-commit:1")
    web.remove()


def streams(c):
    """Attach in both directions, and logs and events that are followed."""
    made = c.api.create_container(IMAGE, "cat", stdin_open=True, name="talker", host_config=c.api.create_host_config())
    sock = c.api.attach_socket(made, {"stdin": 1, "stdout": 1, "stream": 1})
    c.api.start(made)
    sock._sock.sendall(b"typed\n")
    sock._sock.shutdown(socket.SHUT_WR)
    data = b""
    while chunk := sock._sock.recv(4096):
        data += chunk
    is_(data, b"\x01\0\0\0\0\0\0\x06typed\n")
    sock.close()
    c.api.remove_container(made, force=True)

    events, seen = c.events(decode=True, filters={"container": "counter"}), []
    reader = threading.Thread(target=lambda: seen.extend(e["Action"] for e in _until(events, "destroy")))
    reader.start()
    counter = c.containers.run(IMAGE, ["sh", "-c", "for i in 1 2 3; do echo $i; done"], detach=True, name="counter")
    is_([line for line in counter.logs(stream=True, follow=True)], [b"1\n", b"2\n", b"3\n"])
    is_(counter.wait()["StatusCode"], 0)
    counter.remove()
    reader.join(60)
    is_(seen, ["create", "start", "die", "destroy"])


def _until(events, last):
    for e in events:
        yield e
        if e["Action"] == last:
            events.close()
            return


def networks(c):
    pool = docker.types.IPAMPool(subnet="10.254.46.0/24", gateway="10.254.46.1")
    net = c.networks.create("library", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"})
    fails(docker.errors.APIError, lambda: c.networks.create("library", check_duplicate=True), "already exists")
    one = c.containers.create(IMAGE, "sleep 600", name="one", init=True)
    net.connect(one, aliases=["alias"], ipv4_address="10.254.46.7")
    one.start()
    assert b"10.254.46.7" in c.containers.run(IMAGE, "nslookup alias", network="library", remove=True)
    net.reload()
    is_([x.name for x in net.containers], ["one"])
    net.disconnect(one)
    one.remove(force=True)
    net.remove()
    fails(docker.errors.NotFound, lambda: c.networks.get("library"), "library")


def volumes(c):
    v = c.volumes.create("library", labels={"kept": "no"})
    c.containers.run(IMAGE, ["sh", "-c", "echo content >/v/file"], volumes={"library": {"bind": "/v", "mode": "rw"}}, remove=True)
    is_(c.volumes.get("library").attrs["Labels"], {"kept": "no"})
    options(c)
    v.remove()
    fails(docker.errors.NotFound, lambda: c.volumes.get("library"), "no such volume")
    assert "VolumesDeleted" in c.volumes.prune()


for spoken in ("auto", "1.41", "1.35"):
    client = docker.from_env(version=spoken, timeout=60)
    for part in (system, images, run, lifecycle, streams, networks, volumes):
        try:
            part(client)
        except BaseException:
            print(f"{part.__name__} in version {spoken}:", file=sys.stderr)
            raise
    client.close()
