from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway_healthcheck.config import SlowStartConfig, dependency_probe, share_percent


def test_services_differ_in_what_they_say(config):
    health = config(
        {
            "active": {"path": "/up", "interval": 5, "expectedStatuses": [200, "300-302"]},
            "passive": {"consecutive5xx": 7},
            "panicThreshold": 50,
            "slowStart": {"window": 30},
            "services": {
                "orders": {"active": {"path": "/orders-up"}, "passive": {"ejectionTime": "5s"}, "panicThreshold": 10},
                "rpc": {"active": {"type": "grpc", "grpcService": "a.B"}, "slowStart": {"window": 60}},
                "mail": {"active": False, "passive": False},
            },
        }
    )
    orders, rpc = health.active_for("orders"), health.active_for("rpc")
    assert (orders.path, orders.interval, orders.expected_statuses) == ("/orders-up", 5.0, ((200, 200), (300, 302)))
    # What is for http only does not come along.
    assert (rpc.type, rpc.grpc_service, rpc.interval) == ("grpc", "a.B", 5.0)
    assert health.active_for("mail") is None
    assert health.passive_for("mail") is None
    assert health.active_for("unnamed") is health.active
    assert health.passive_for("unnamed") is health.passive
    orders_passive = health.passive_for("orders")
    assert (orders_passive.ejection_time, orders_passive.consecutive_5xx) == (5.0, 7)
    assert (health.slow_start_for("rpc").window, health.slow_start_for("orders").window) == (60.0, 30.0)
    assert (health.panic_threshold_for("orders"), health.panic_threshold_for("rpc")) == (10, 50)


def test_a_service_alone_may_be_checked(config):
    health = config({"services": {"orders": {"active": {"type": "tcp"}}}})
    assert health.active_for("orders").type == "tcp"
    assert health.active_for("users") is None


# The spellings of the gateway that this one succeeds.


def test_checks_with_a_type_in_their_config_are_about_services(config):
    health = config(
        {
            "checks": {
                "database": {"type": "tcp", "config": {"address": "db:5432"}},
                "orders": {"type": "http", "interval": 15, "timeout": 2, "config": {"type": "http"}},
            }
        }
    )
    assert set(health.checks) == {"database"}
    assert (health.active_for("orders").interval, health.active_for("orders").timeout) == (15, 2)


def test_checks_in_a_list_are_about_services(config):
    check = {"type": "http", "services": ["a", "b"], "path": "/up", "expectedStatus": 204}
    health = config({"checks": [check, {"type": "tcp", "service": "c"}]})
    assert health.active_for("b").expected_statuses == ((204, 204),)
    assert health.active_for("c").type == "tcp"


def test_dependencies_say_where_they_are(config):
    health = config(
        {
            "commands": {"disk": ["/bin/df", "-h"]},
            "checks": {
                "api": {"type": "http", "config": {"url": "https://[::1]:8443/up?full=1", "expectedBody": "ok"}},
                "plain": {"type": "http", "config": {"url": "http://proxy"}},
                "db": {"type": "tcp", "timeout": "1s", "config": {"address": "db:5432"}},
                "rpc": {"type": "grpc", "config": {"address": "r:50051", "service": "grpc.health.v1.Health"}},
                "disk": {"type": "exec", "config": {"command": "disk", "args": "/"}},
            },
        }
    )
    where = {name: dependency_probe(name, check)[1:] for name, check in health.checks.items()}
    assert where["api"] == ("https", "::1", 8443)
    assert where["plain"] == ("http", "proxy", 80)
    assert where["db"] == ("http", "db", 5432)
    api, *_ = dependency_probe("api", health.checks["api"])
    assert (api.path, api.expected_body) == ("/up?full=1", "ok")
    assert dependency_probe("rpc", health.checks["rpc"])[0].grpc_service == ""
    assert dependency_probe("disk", health.checks["disk"])[0].args == ("/",)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"active": {"type": "exec"}}, "needs 'command'"),
        ({"active": {"type": "exec", "command": "rm"}}, "'rm' is not one of health.commands"),
        ({"services": {"s": {"active": {"type": "exec", "command": "rm"}}}}, "'rm' is not one of health.commands"),
        ({"checks": {"c": {"type": "exec", "config": {"command": "rm"}}}}, "'rm' is not one of health.commands"),
        ({"commands": {"c": ["df"]}}, "not a whole path"),
        ({"commands": {"c": []}}, "at least 1 item"),
        ({"active": {"type": "tcp", "path": "/"}}, "'path' means nothing for type 'tcp'"),
        ({"active": {"interval": 0.01}}, "too short"),
        ({"active": {"timeout": 0}}, "without a time limit"),
        ({"active": {"path": "health"}}, "begin it with '/'"),
        ({"active": {"path": "/a b"}}, "not a path"),
        ({"active": {"method": "GE T"}}, "not a method"),
        ({"active": {"headers": {"x": "a\r\nb"}}}, "not a header field"),
        ({"active": {"expectedBody": "("}}, "not a regular expression"),
        ({"active": {"expectedStatuses": []}}, "the list of statuses is empty"),
        ({"active": {"expectedStatuses": "299-200"}}, "not a status"),
        ({"active": {"expectedStatuses": 42}}, "not a status"),
        ({"active": {"maxBody": "1GB"}}, "less than or equal to 1048576"),
        ({"active": {"port": 65536}}, "less than or equal to 65535"),
        ({"passive": {"maxEjectionTime": 1}}, "shorter than ejectionTime"),
        ({"passive": {"latencyFactor": 0.5}}, "must be above 1"),
        ({"passive": {"maxEjectionPercent": 101}}, "less than or equal to 100"),
        ({"services": {"s": {"passive": {"nonsense": 1}}}}, "services.s.passive"),
        ({"services": {"s": {"slowStart": {"window": -1}}}}, "services.s.slowStart"),
        ({"healthPath": "/h", "readyPath": "/h"}, "must differ"),
        ({"checks": {"c": {"type": "http", "config": {"url": "http://user:secret@h/"}}}}, "not a URL"),
        ({"checks": {"c": {"type": "tcp", "config": {"address": "db"}}}}, "not an address"),
        ({"checks": {"c": {"type": "tcp", "config": {"address": "db:0"}}}}, "not an address"),
        ({"checks": {"c": {"type": "tcp", "config": {"address": "db:1", "path": "/"}}}}, "checks.c.config"),
        ({"checks": ["orders"]}, "is not a check"),
        ({"checks": [{"type": "tcp"}]}, "names no services"),
        ({"checks": [{"type": "tcp", "services": ["s"], "often": 1}]}, "unknown key 'often'"),
        ({"checks": [{"type": "tcp", "services": ["s", "s"]}]}, "checked twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(config, block, message):
    with pytest.raises(ValidationError, match=message.replace("(", r"\(")):
        config(block)


# Slow start.


def test_a_slow_start_is_linear_in_steps_of_ten_percent():
    slow = SlowStartConfig(window=20)
    shares = [share_percent(slow, since) for since in (0, 1, 4, 5, 10, 19.9, 20, 99)]
    assert shares == [10, 10, 20, 20, 50, 90, 100, 100]


def test_aggression_gives_more_of_it_early():
    assert share_percent(SlowStartConfig(window=100, aggression=2), 25) == 50
    assert share_percent(SlowStartConfig(window=100, aggression=0.5, minimum_percent=3), 50) == 20
    assert share_percent(SlowStartConfig(window=100, minimum_percent=3), 0) == 3


def test_no_window_gives_all_of_it_at_once():
    assert share_percent(SlowStartConfig(), 0) == 100


def test_a_clock_that_jumps_back_begins_anew():
    assert share_percent(SlowStartConfig(window=10), -5) == 10
