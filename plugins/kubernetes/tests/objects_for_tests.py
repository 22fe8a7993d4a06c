"""Objects as an API server has them."""

from __future__ import annotations

from typing import Any

READY = {"ready": True, "serving": True, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
ENDED = {"ready": False, "serving": False, "terminating": True}
NOT_READY = {"ready": False, "serving": False, "terminating": False}


def service(name: str = "orders", namespace: str = "shop", **given: Any) -> dict[str, Any]:
    """Return a service that is served; annotations without a slash are the gateway's."""
    annotations = {"gateway/enabled": "true"}
    for key, value in given.pop("annotations", {}).items():
        annotations[key if "/" in key else f"gateway/{key}"] = value
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{name}",
            "labels": given.pop("labels", {}),
            "annotations": annotations,
        },
        "spec": {
            "type": given.pop("type", "ClusterIP"),
            "clusterIP": "10.96.0.10",
            "ipFamilies": ["IPv4"],
            "ports": [port() if isinstance(each, str) else each for each in given.pop("ports", [port()])],
            **given.pop("spec", {}),
        },
        "status": {"loadBalancer": {"ingress": given.pop("ingress", [])}},
        **given,
    }


def port(name: str = "http", number: int = 80, **given: Any) -> dict[str, Any]:
    return {"name": name, "port": number, "protocol": "TCP", "targetPort": 8080, **given}


def endpoint(address: str = "10.0.0.1", conditions: Any = READY, **given: Any) -> dict[str, Any]:
    pod = {"kind": "Pod", "name": f"pod-{address.replace('.', '-').replace(':', '-')}"}
    return {"addresses": [address], "conditions": conditions, "targetRef": pod, "nodeName": "node-1", **given}


def endpoint_slice(*endpoints: Any, of: str = "orders", namespace: str = "shop", **given: Any) -> dict[str, Any]:
    """Return a slice; endpoints may be addresses."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": given.pop("name", f"{of}-1"),
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": given.pop("family", "IPv4"),
        "ports": given.pop("ports", [{"name": "http", "port": 8080, "protocol": "TCP"}]),
        "endpoints": [endpoint(each) if isinstance(each, str) else each for each in endpoints],
        **given,
    }


def route(name: str = "orders", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """Return a route to the service ``orders``, unless it says otherwise."""
    created = spec.pop("created", "2026-01-01T00:00:00Z")
    return {
        "apiVersion": "gateway.io/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": {"path": f"/{name}/*", "serviceName": "orders", **spec},
    }


def node(name: str = "node-1", address: str = "192.0.2.1", **given: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "zone-a"}},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "ExternalIP", "address": "198.51.100.1"},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
            **given,
        },
    }
