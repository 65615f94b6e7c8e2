"""The google provider's real schema, read out of the bindings that its prebuilt package carries.

The package is generated from the provider's own schema. Its JavaScript names every attribute with
what may be said of it (`// name - computed: …, optional: …, required: …`), and the line below tells
the type.
"""

import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf.gen import tfplugin_pb2 as plugin

type_used = re.compile(r'^(resource|data) "(google_\w+)"', re.MULTILINE)

_CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{$", re.MULTILINE)
_PROPERTY = re.compile(
    r"^ {4}// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n((?: {4}.*\n){0,3})",
    re.MULTILINE,
)
_PART = re.compile(r'new (\w+?)(OutputReference|List)\(this, "\w+"(?:, (true|false))?\)')
_TYPES = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
}
_Block = plugin.Schema.NestedBlock


class SchemaError(Exception):
    """The package does not say what is asked for; the text names it."""


@dataclass(frozen=True, slots=True)
class Property:
    """One attribute or nested block of a resource, as the package's comment has it."""

    name: str
    computed: bool
    optional: bool
    required: bool
    body: str

    @property
    def part(self) -> re.Match[str] | None:
        """Which class describes its parts, if it has any."""
        return _PART.search(self.body)

    @property
    def is_block(self) -> bool:
        """Whether it is written as `name { … }`: it has parts and they can be given."""
        return self.part is not None and (self.optional or self.required)


def read_schema(wheel: Path, used: set[tuple[str, str]]) -> plugin.GetProviderSchema.Response:
    """The schema of the resources and data sources of `used`, pairs of kind and type.

    Raises:
        SchemaError: the package has no such type, or tells it in a way that is not known here.
    """
    answer = plugin.GetProviderSchema.Response(provider=_provider())
    missing = set(used)
    for kind, name, code in _modules(wheel, used):
        schema = plugin.Schema(block=_block(_classes(code), _main_class(code)))
        place = answer.resource_schemas if kind == "resource" else answer.data_source_schemas
        place[name].CopyFrom(schema)
        missing.discard((kind, name))
    if missing:
        raise SchemaError(f"{wheel.name} has no {sorted(missing)}")
    return answer


def _provider() -> plugin.Schema:
    names = ("project", "region")
    attributes = [plugin.Schema.Attribute(name=n, type=b'"string"', optional=True) for n in names]
    return plugin.Schema(block=plugin.Schema.Block(attributes=attributes))


def _modules(wheel: Path, used: set[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Kind, type and code of each module that is asked for."""
    places = {f"package/lib/{_folder(kind, name)}/index.js": (kind, name) for kind, name in used}
    with zipfile.ZipFile(wheel) as package:
        inner = next(name for name in package.namelist() if name.endswith(".jsii.tgz"))
        with package.open(inner) as stream, tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                found = places.get(member.name)
                content = archive.extractfile(member) if found else None
                if found and content is not None:
                    yield *found, content.read().decode()


def _folder(kind: str, name: str) -> str:
    words = name.split("_") if kind == "data" else name.split("_")[1:]
    return "-".join(["data", *words] if kind == "data" else words)


def _classes(code: str) -> dict[str, list[Property]]:
    pieces = _CLASS.split(code)
    return {
        name: [_property(match) for match in _PROPERTY.finditer(body)]
        for name, body in zip(pieces[1::3], pieces[3::3], strict=True)
    }


def _property(match: re.Match[str]) -> Property:
    name, computed, optional, required, body = match.groups()
    return Property(name, computed == "true", optional == "true", required == "true", body)


def _main_class(code: str) -> str:
    kinds = {"TerraformResource", "TerraformDataSource"}
    return next(match[1] for match in _CLASS.finditer(code) if match[2] in kinds)


def _block(classes: Mapping[str, list[Property]], name: str) -> plugin.Schema.Block:
    properties = classes[name]
    return plugin.Schema.Block(
        attributes=[
            plugin.Schema.Attribute(
                name=one.name,
                type=json.dumps(_type(classes, one)).encode(),
                computed=one.computed,
                optional=one.optional,
                required=one.required,
            )
            for one in properties
            if not one.is_block
        ],
        block_types=[_nested(classes, one) for one in properties if one.is_block],
    )


def _nested(classes: Mapping[str, list[Property]], one: Property) -> plugin.Schema.NestedBlock:
    part = one.part
    assert part is not None, "only a block has parts that can be given"
    stem, kind, is_set = part.groups()
    block = _block(classes, f"{stem}OutputReference")
    if one.name == "timeouts":
        return _Block(type_name=one.name, block=block, nesting=_Block.SINGLE)
    return _Block(
        type_name=one.name,
        block=block,
        nesting=_Block.SET if is_set == "true" else _Block.LIST,
        min_items=1 if one.required else 0,
        max_items=0 if kind == "List" else 1,
    )


def _type(classes: Mapping[str, list[Property]], one: Property) -> Any:
    """The type in the notation that the protocol has for it."""
    if one.part is not None:
        stem, _, is_set = one.part.groups()
        parts = classes[f"{stem}OutputReference"]
        fields = {each.name: _type(classes, each) for each in parts}
        return ["set" if is_set == "true" else "list", ["object", fields]]
    if "cdktn.StringMap(" in one.body:
        return ["map", "string"]
    for getter, kind in _TYPES.items():
        if f"this.{getter}(" in one.body:
            return ["set", kind[1]] if "Fn.tolist(" in one.body else kind
    # What can only be written has nothing to read it by; all of these are passwords.
    if "get " not in one.body:
        return "string"
    raise SchemaError(f"the type of {one.name} is told in a way that is not known: {one.body}")
