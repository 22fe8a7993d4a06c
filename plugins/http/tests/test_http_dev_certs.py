"""``gateway dev-certs``, and what it makes in use."""

import ssl
import stat
import sys

import pytest
import yaml

from gateway.cli import main

pytestmark = pytest.mark.anyio

FILES = {"ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem"}


def test_keys_are_for_their_owner_alone(tmp_path, capsys):
    assert main(["dev-certs", "--out", str(tmp_path / "certs")]) == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "certs").iterdir()}
    assert set(modes) == FILES
    assert {mode for name, mode in modes.items() if "key" in name} == {0o600}
    said = capsys.readouterr().out
    block = said[said.index("gateway:\n") : said.index("Then:")]
    tls = yaml.safe_load(block)["gateway"]["frontend"]["http"]["tls"]
    assert tls["certFile"] == str(tmp_path / "certs" / "server.pem")
    assert f"curl --cacert {tmp_path}/certs/ca.pem https://localhost:8443/" in said


def test_nothing_is_replaced(tmp_path, capsys):
    (tmp_path / "client.pem").write_text("mine")
    assert main(["dev-certs", "--out", str(tmp_path)]) == 1
    assert "has client.pem already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["client.pem"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["dev-certs", "--out", str(tmp_path / "file" / "certs")]) == 1
    assert "gateway dev-certs:" in capsys.readouterr().err


def test_without_cryptography_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert main(["dev-certs", "--out", str(tmp_path / "certs")]) == 1
    assert "pip install 'gateway-http[dev-certs]'" in capsys.readouterr().err
    assert not (tmp_path / "certs").exists()


async def test_they_work_on_both_sides(tmp_path, start_gateway, service, capsys):
    assert main(["dev-certs", "--out", str(tmp_path), "--client", "reports", "gw.example", "127.0.0.1"]) == 0
    tls = {
        "certFile": "server.pem",
        "keyFile": "server-key.pem",
        "clientAuth": "require",
        "clientCAFile": "ca.pem",
    }
    gateway = await start_gateway(service, http={"tls": tls}, auth={"required": True, "mtls": {}})
    for name in ("gw.example", "127.0.0.1"):
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client-key.pem")
        client = await gateway.connect(ssl=context, server_hostname=name)
        assert (await client.ask(b"GET / HTTP/1.1\r\nHost: gw.example\r\n\r\n")).status == 200
    assert {request["x-auth-subject"] for request in service.requests} == {"spiffe://gateway.test/reports"}
