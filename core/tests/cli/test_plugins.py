from __future__ import annotations

import json
import re

TABLE = """\
PLUGIN     DISTRIBUTION       VERSION  LOADED IN  OFFERS                     USED                          PLACE         SUMMARY
balancers  gateway-balancers  0.1.0    # ms       balancer round_robin       by 2 rules                                  Each in turn
                                                  balancer random            by 1 rule                                   By lot
cors       gateway-cors       0.1.0    # ms       policy cors                gateway.yaml:2:3, by 3 rules  edge 1        Cross-origin requests
http       gateway-http       0.1.0    # ms       adapter http               by default                                  HTTP for clients
                                                  connector http             by default                                  HTTP to services
jwt        gateway-jwt        0.1.0    # ms       authenticator jwt          gateway.yaml:5:5, by 3 rules  authenticate  JSON Web Tokens
ratelimit  gateway-ratelimit  0.1.0    # ms       limiter ratelimit          by 1 rule                     limit         So many a second
static     gateway-static     0.1.0    # ms       discovery provider static  gateway.yaml:8:5                            Listed services
"""  # noqa: E501 - tables are as wide as they are


def without_times(out: str) -> str:
    """Return a table in which every plugin was loaded in the same time."""
    return re.sub(r"\d+ ms +", "# ms       ", out)


def test_plugins_are_listed_with_what_they_offer_and_where_it_is_used(gateway, shop):
    listed = gateway("plugins")
    assert (listed.code, listed.err) == (0, "")
    assert without_times(listed.out) == TABLE


def test_what_is_not_used_is_off(gateway, index):
    out = gateway("plugins").out
    assert re.search(r"policy cors +off +Cross-origin", out)
    assert re.search(r"balancer random +off ", out)


def test_disabled_and_broken_plugins_are_listed(gateway, index, shop, write):
    index.install("gateway-broken", "raise RuntimeError('not today')")
    index.install("gateway-empty", "")
    write(shop.read_text().replace("gateway:", "gateway:\n  disabledPlugins: [old]", 1))
    index.install("gateway-old", "raise RuntimeError('never imported')")
    listed = gateway("plugins")
    assert listed.code == 0
    assert re.search(r"^broken +gateway-broken +0\.1\.0 +\d+ ms +broken$", listed.out, re.MULTILINE)
    assert re.search(r"^empty +gateway-empty +0\.1\.0 +\d+ ms +nothing$", listed.out, re.MULTILINE)
    assert re.search(r"^old +gateway-old +0\.1\.0 +disabled$", listed.out, re.MULTILINE)
    last = listed.out.splitlines()[-1]
    assert last.startswith("plugin 'broken' of gateway-broken 0.1.0 cannot be used: ")
    assert "RuntimeError: not today" in last
    assert "never imported" not in listed.out


def test_plugins_are_listed_where_the_configuration_is_wrong(gateway, index, write):
    write("gateway:\n  auth:\n    ldap: {}\n")
    listed = gateway("plugins")
    assert listed.code == 2
    assert "gateway.yaml:3:5: gateway.auth.ldap: " in listed.err
    assert re.search(r"authenticator jwt +\? +JSON Web Tokens", listed.out)


def test_a_broken_plugin_that_is_asked_for_is_told_once(gateway, shop, write):
    listed = gateway("plugins", "--plugin", write("import nowhere_to_be_found", "hello.py"))
    assert (listed.code, listed.err) == (2, "")
    assert listed.out.count("nowhere_to_be_found") == 1


def test_a_plugin_file_is_listed(gateway, shop, write):
    hello = write(
        '''
        from gateway import policy

        @policy
        async def hello(exchange, call_next):
            """Greet."""
            return await call_next(exchange)
        ''',
        "hello.py",
    )
    listed = gateway("plugins", "--plugin", hello)
    assert re.search(
        r"^hello +hello\.py +\d+ ms +policy hello +by default, by 3 rules|by 3 rules", listed.out, re.MULTILINE
    )
    data = json.loads(gateway("plugins", "--json", "--plugin", hello).out)
    [plugin] = [each for each in data if each["name"] == "hello"]
    assert (plugin["file"], plugin["version"]) == ("hello.py", None)
    assert plugin["offers"][0]["summary"] == "Greet."


def test_a_plugin_file_that_is_missing_is_told(gateway, index):
    listed = gateway("plugins", "--plugin", "nowhere.py")
    assert listed.code == 2
    assert listed.err == "command line: there is no plugin file 'nowhere.py'; check the path\n"


def test_nothing_installed_is_said_with_the_remedy(gateway):
    listed = gateway("plugins")
    assert listed.code == 2  # nothing can listen
    assert listed.out == "No plugin is installed; 'pip install gateway' brings those to start with.\n"


def test_for_machines_it_is_json(gateway, index, shop):
    index.install("gateway-broken", "raise RuntimeError('not today')")
    data = {plugin["name"]: plugin for plugin in json.loads(gateway("plugins", "--json").out)}
    assert data["broken"]["state"] == "broken"
    assert "not today" in data["broken"]["error"]
    jwt = data["jwt"]
    assert (jwt["distribution"], jwt["version"], jwt["state"], jwt["error"]) == ("gateway-jwt", "0.1.0", "loaded", None)
    assert jwt["loadSeconds"] > 0
    [offer] = jwt["offers"]
    assert (offer["kind"], offer["name"], offer["on"]) == ("authenticator", "jwt", True)
    assert (offer["where"], offer["rules"]) == (["gateway.yaml:5:5"], ["user", "beta", "files"])


def test_for_machines_unknown_use_is_null(gateway, index, write):
    write("gateway:\n  routr: {}\n")
    data = {plugin["name"]: plugin for plugin in json.loads(gateway("plugins", "--json").out)}
    assert data["jwt"]["offers"][0]["on"] is None


def test_the_place_in_the_pipeline_is_told_with_why(gateway, shop):
    offers = {
        (each["kind"], each["name"]): each
        for plugin in json.loads(gateway("plugins", "--json").out)
        for each in plugin["offers"]
    }
    assert offers["policy", "cors"]["place"] == {"stage": "edge", "number": 1, "why": "by name"}
    assert offers["limiter", "ratelimit"]["place"] == {"stage": "limit", "number": None, "why": None}
    assert offers["connector", "http"]["place"] is None
    assert offers["policy", "cors"]["budget"] is None
