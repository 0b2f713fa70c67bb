"""A schema stand-in for the AWS provider: names and types of hashicorp/aws 6.25.0, and nothing behind them.

The schema is read from the source of the Python bindings generated from it (cdktf-cdktf-provider-aws), without importing
them. Served over Terraform's plugin protocol 6: enough for `terraform validate`, and for `terraform test` with mocks.
It proves names, types and required arguments; not what the provider itself checks, and nothing about AWS.

    aws_provider.py schema FOLDER... > FILE    the types that the *.tf files below the folders use
    aws_provider.py serve FILE                 serves them; Terraform starts a provider many times, and reading takes seconds
"""

import ast
import concurrent.futures
import importlib.util
import json
import pathlib
import re
import sys
import tempfile

BINDINGS = "cdktf_cdktf_provider_aws"
SINGLE, LIST = 1, 2  # nesting modes of the protocol
META = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}
SCALARS = {"builtins.str": "string", "builtins.bool": "bool", "jsii.Number": "number", "IResolvable": "bool"}
COLLECTIONS = {"StringMap": "string", "NumberMap": "number", "BooleanMap": "bool"}


# --- protocol buffers, written by hand: a handful of messages does not need a compiler ---
def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    """One field; false, zero and None are left out, as proto3 does."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(int(value)) if value else b""


# --- the bindings' source as a schema ---
class Bindings:
    """The classes of one resource's module."""

    def __init__(self, module):
        source = pathlib.Path(importlib.util.find_spec(BINDINGS).submodule_search_locations[0], module, "__init__.py")
        if not source.exists():
            raise LookupError(module)
        tree = ast.parse(source.read_text())
        # What a data source finds has tags of its own where none are asked for.
        self.found = ("tags",) if module.startswith("data_") else ()
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def properties(self, name):
        """(name in Terraform, annotation, documentation) of each property of a class."""
        if name not in self.classes:
            return
        for node in self.classes[name].body:
            if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "builtins.property" for d in node.decorator_list):
                text = ast.get_docstring(node) or ""
                # Python's own words are written differently in the bindings; the link has the real name.
                real = re.search(r"#(\w+) \w+#\w+\}", text)
                yield real[1] if real else node.name, node.returns, text

    def block(self, struct, reference):
        """The message Block: what can be set is in `struct`, what can be read in `reference`."""
        attributes, blocks, names = b"", b"", set()
        inputs = [entry for entry in self.properties(struct) if "Terraform Registry" in entry[2]]
        known = {name for name, _, _ in inputs}
        for name, annotation, text in inputs:
            names.add(name)
            required, kind = not ast.unparse(annotation).startswith("typing.Optional"), self.kind(annotation)
            if re.match(rf"{name} block\.", text):
                many = isinstance(kind, list)
                inner = kind[1] if many else kind
                single = name == "timeouts"
                blocks += field(3, field(1, name) + field(2, self.block(inner, inner + "OutputReference"))
                                + field(3, SINGLE if single else LIST) + field(4, required) + field(5, not many and not single))
                continue
            computed = name in ("id", "region", "tags_all", *self.found) or f"{name}_prefix" in known
            attributes += self.attribute(name, kind, required, computed)
        for name, annotation, _ in self.properties(reference):
            if name not in names | META and not name.endswith("_input") and not name.startswith(("_", "internal_value", "fqn")):
                if not (name.startswith("cdktf_") or name == "timeouts"):
                    attributes += field(2, field(1, name) + field(2, json.dumps(self.type(self.kind(annotation)))) + field(6, True))
        return attributes + blocks

    def attribute(self, name, kind, required, computed):
        """The field Attribute of a block or of a nested type."""
        how = field(4, required) + field(5, not required) + field(6, computed and not required)
        if isinstance(kind, list) or kind not in self.classes:
            return field(2, field(1, name) + field(2, json.dumps(self.type(kind))) + how)
        nested = b""
        for inner, annotation, _ in self.properties(kind):
            one = not ast.unparse(annotation).startswith("typing.Optional")
            nested += field(1, field(1, inner) + field(2, json.dumps(self.type(self.kind(annotation)))) + field(4, one) + field(5, not one))
        return field(2, field(1, name) + how + field(10, nested + field(3, SINGLE)))

    def kind(self, node):
        """An annotation as a scalar's name, a class's name, or [collection, kind]."""
        text = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
        if isinstance(node, ast.Subscript):
            outer = ast.unparse(node.value)
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if outer == "typing.Optional":
                return self.kind(parts[0])
            if outer == "typing.Union":
                # `X or IResolvable`, `struct or mapping`: a list is the one that tells most.
                lists = [part for part in parts if ast.unparse(part).startswith(("typing.List", "typing.Sequence"))]
                rest = [part for part in parts if not ast.unparse(part).endswith("IResolvable")]
                return self.kind((lists or rest or parts)[0])
            return ["map" if outer in ("typing.Mapping", "typing.Dict") else "list", self.kind(parts[-1])]
        name = text.split(".")[-1] if text.startswith("_cdktf") else text
        if name.endswith("MapList") and name[:-4] in COLLECTIONS:
            return ["list", ["map", COLLECTIONS[name[:-4]]]]
        if name in COLLECTIONS:
            return ["map", COLLECTIONS[name]]
        return SCALARS.get(name, name)

    def type(self, kind):
        """A kind as Terraform's type."""
        if isinstance(kind, list):
            return [kind[0], self.type(kind[1])]
        if kind in ("string", "bool", "number"):
            return kind
        if kind.endswith("List") and kind in self.classes:
            return ["list", self.type(kind[:-4] + "OutputReference")]
        fields = {}
        for name, annotation, _ in self.properties(kind):
            if not name.endswith("_input") and not name.startswith(("_", "internal_value", "fqn")):
                fields[name] = self.type(self.kind(annotation))
        return ["object", fields]


def schema(module):
    bindings = Bindings(module)
    name = next(iter(bindings.classes))
    return field(2, bindings.block(name + "Config", name))


def provider_schema(folders):
    """The message GetProviderSchema.Response, with the types that are used below `folders`."""
    out = field(1, schema("provider"))
    used = {match for folder in folders for path in pathlib.Path(folder).rglob("*.tf")
            for match in re.findall(r'^\s*(resource|data) "aws_(\w+)"', path.read_text(), re.M)}
    for kind, name in sorted(used):
        try:
            found = schema(name if kind == "resource" else f"data_aws_{name}")
        except LookupError:
            continue  # Terraform itself says that there is no such type.
        out += field(2 if kind == "resource" else 3, field(1, f"aws_{name}") + field(2, found))
    return out


def serve(answer):
    import grpc  # Not needed to read the schema.

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))

    def handlers(service, methods):
        calls = {name: grpc.unary_unary_rpc_method_handler(lambda request, context, body=body: body() if callable(body) else body)
                 for name, body in methods.items()}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, calls)])

    # An empty message says: no objection.
    quiet = ["ValidateProviderConfig", "ValidateResourceConfig", "ValidateDataResourceConfig", "ConfigureProvider", "StopProvider"]
    handlers("tfplugin6.Provider", {"GetProviderSchema": answer, **dict.fromkeys(quiet, b"")})
    handlers("grpc.health.v1.Health", {"Check": field(1, 1)})
    handlers("plugin.GRPCController", {"Shutdown": lambda: (server.stop(0.2), b"")[1]})
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/aws"
        server.add_insecure_port(f"unix:{address}")
        server.start()
        print(f"1|6|unix|{address}|grpc", flush=True)
        server.wait_for_termination()


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:] or ["help"]
    if mode == "schema":
        sys.stdout.buffer.write(provider_schema(arguments))
    elif mode == "serve":
        serve(pathlib.Path(arguments[0]).read_bytes())
    else:
        sys.exit(__doc__)
