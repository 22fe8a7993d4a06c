"""``users.v1.UserService`` of the gRPC example, served by grpcio, with server reflection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc  # type: ignore[import-untyped]  # has no types of its own
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]  # as above

USERS = """
name: "users/v1/users.proto" package: "users.v1" syntax: "proto3"
message_type { name: "User"
  field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "id" }
  field { name: "full_name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "fullName" } }
message_type { name: "UserRequest"
  field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "id" }
  field { name: "user" number: 2 type: TYPE_MESSAGE type_name: ".users.v1.User" label: LABEL_OPTIONAL
          json_name: "user" } }
service { name: "UserService"
  method { name: "GetUser" input_type: ".users.v1.UserRequest" output_type: ".users.v1.User" }
  method { name: "DeleteUser" input_type: ".users.v1.UserRequest" output_type: ".users.v1.User" }
  method { name: "UpdateUser" input_type: ".users.v1.UserRequest" output_type: ".users.v1.User" } }
"""


class UserService:
    """It answers every call with a user that says which method it was.

    Attributes:
        port: Where it is.
    """

    def __init__(self):
        pool = descriptor_pool.DescriptorPool()
        pool.Add(text_format.Parse(USERS, descriptor_pb2.FileDescriptorProto()))
        self._methods = pool.FindServiceByName("users.v1.UserService").methods
        self._server = grpc.server(ThreadPoolExecutor(4))
        handlers = {method.name: self._handler(method) for method in self._methods}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("users.v1.UserService", handlers),))
        names = ("users.v1.UserService", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=pool)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def _handler(self, method):
        request, user = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))

        def call(asked, context):
            return user(id=asked.id or asked.user.id, full_name=f"{method.name} {asked.user.full_name}".strip())

        return grpc.unary_unary_rpc_method_handler(call, request.FromString, user.SerializeToString)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()
