"""Real engines, started by hand as root: no bridge, no firewall rules, a folder and a socket of their own."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RealEngine:
    """An engine that runs by hand: its own folder, its own socket, no bridge, no firewall rules.

    Args:
        folder: Where everything of it is.
        name: ``docker`` or ``podman``.
        command: What starts it.
        beneath: What must run before and goes on when it dies, such as containerd; ``None`` is nothing.
        environment: What it needs in its environment.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        beneath: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.socket = folder / f"{name}.sock"
        self.host = f"unix://{self.socket}"
        self.log = folder / "log"
        self._command = command
        self._beneath = beneath
        self._base: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, **(environment or {})}
        self._image = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._client: docker.DockerClient | None = None

    @property
    def client(self) -> docker.DockerClient:
        if self._client is None:
            self._client = docker.DockerClient(self.host, timeout=20)
        return self._client

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        with self.log.open("ab") as log:
            if self._beneath is not None and self._base is None:
                self._base = subprocess.Popen(self._beneath, stdout=log, stderr=log)
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        patience_s = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > patience_s or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(self.log.read_text()[-600:])
            time.sleep(0.05)

    def stop(self) -> None:
        self._end(signal.SIGTERM)
        if self._base is not None:
            self._base.terminate()
            self._base.wait(20)
            self._base = None

    def kill(self) -> None:
        """Let it die without a word; its containers go on."""
        self._end(signal.SIGKILL)

    def _end(self, signal_number: int) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(20)
            self._process = None

    def import_image(self) -> None:
        self.client.api.import_image_from_data(_image(), repository="gateway-test", tag="1")
        # By its id: engines disagree on what an image without a registry is called.
        (image,) = self.client.images.list()
        self._image = str(image.id)

    def run(self, name: str, *, port: int = 0, command: str = "", **options: Any) -> Any:
        """Run a container on the host's network; with a port, it serves its name there."""
        serve = f"mkdir -p /www; echo {name} > /www/index.html; exec /bin/busybox httpd -f -p 127.0.0.1:{port} -h /www"
        shell = command or (serve if port else "exec /bin/busybox sleep 300")
        return self.client.containers.run(
            self._image, ["/bin/sh", "-c", shell], name=name, detach=True, network_mode="host", **options
        )

    def remove_all(self) -> None:
        for each in self.client.containers.list(all=True):
            with contextlib.suppress(docker.errors.APIError):
                each.remove(force=True)

    def _answers(self) -> bool:
        connection = _UnixConnection(str(self.socket))
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(2)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


def _image() -> bytes:
    """Return a file system with nothing but busybox, as a tar."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        archive.addfile(link)
        for name in ("bin/mkdir", "bin/echo"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return held.getvalue()


def unmount(folder: Path) -> None:
    """Take away what engines leave mounted below ``folder``: overlays, and the namespace of the host's network."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((each for each in mounts if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", mount], check=False)


def unavailable(reason: str) -> None:
    """Skip, or fail where the engines must be there: a test that CI never runs proves nothing."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI must have it: apt-get install docker.io busybox-static podman", pytrace=False)
    pytest.skip(reason)


def _needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        unavailable(f"{', '.join(missing)} is not installed")
    if os.geteuid() != 0:
        unavailable("engines are started as root")


def dockerd_command(folder: Path, driver: str, *arguments: str) -> list[str]:
    return [
        "dockerd", "--bridge", "none", "--iptables=false", "--ip6tables=false", "--live-restore",
        "--storage-driver", driver, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
        "--pidfile", str(folder / "pid"), "--containerd", str(folder / "containerd.sock"),
        "-H", f"unix://{folder / 'docker.sock'}", *arguments,
    ]  # fmt: skip


def containerd_command(folder: Path) -> list[str]:
    """Beside the engine, as distributions run it: the engine would take one that it starts itself down with it."""
    return [
        "containerd", "--config", os.devnull, "--root", str(folder / "containerd"),
        "--state", str(folder / "state"), "--address", str(folder / "containerd.sock"),
    ]  # fmt: skip


def start_dockerd(folder: Path, *arguments: str) -> RealEngine:
    """Start Docker's engine, or skip. Overlays are fast and need a kernel that has them; copies always work."""
    _needs("dockerd", "containerd", "busybox")
    reasons = []
    for driver in ("overlay2", "vfs"):
        place = folder / driver
        place.mkdir()
        engine = RealEngine(
            place, "docker", dockerd_command(place, driver, *arguments), beneath=containerd_command(place)
        )
        try:
            engine.start()
        except RuntimeError as error:
            reasons.append(str(error))
        else:
            return engine
    unavailable(f"dockerd does not start here: {reasons}")
    raise AssertionError


def start_podman(folder: Path) -> RealEngine:
    """Start Podman's service, or skip."""
    _needs("podman", "busybox")
    # Containers and their monitors may not raise the limits of whoever runs the tests.
    settings = folder / "containers.conf"
    settings.write_text('[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1024:1024"]\n')
    command = [
        "podman", "--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "vfs",
        "--cgroup-manager", "cgroupfs", "--events-backend", "file",
        "system", "service", "--time", "0", f"unix://{folder / 'podman.sock'}",
    ]  # fmt: skip
    engine = RealEngine(folder, "podman", command, environment={"CONTAINERS_CONF": str(settings)})
    try:
        engine.start()
    except RuntimeError as error:
        unavailable(f"podman does not start here: {error}")
    return engine
