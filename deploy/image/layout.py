"""Writes an OCI image layout without a container engine; the same files give the same digest.

    layout.py --output DIR --reference REPO:TAG --platform OS/ARCH=ROOT [--platform …] [--label K=V …]
              [--env K=V …] [--entrypoint P] [--user U:G] [--writable PATH …] [--port N/tcp] [--created SECONDS]
              [--uncompressed]

Prints "REPO:TAG@DIGEST" on stdout. Only Python's standard library is used. Compressed bytes also depend on the zlib that
Python was built with: two machines agree where they have the same one, or with --uncompressed.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import tempfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def replace(path, content):
    """Writes a file so that a reader sees all of it or nothing."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


class Layout:
    """The folder, and the blobs that the new index names."""

    def __init__(self, folder):
        self.folder = folder
        self.blobs = folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.sizes = {}

    def add(self, media_type, content):
        if not isinstance(content, bytes):
            content = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        name = hashlib.sha256(content).hexdigest()
        if name not in self.sizes:
            replace(self.blobs / name, content)
        self.sizes[name] = len(content)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}

    def finish(self, image, reference):
        """Names the image. The index comes after all blobs, so that whoever watches the folder never finds a hole."""
        tag = reference.rpartition("/")[2].partition(":")[2] or "latest"
        annotations = {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": reference}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**image, "annotations": annotations}]}
        replace(self.folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        replace(self.folder / "index.json", json.dumps(index, sort_keys=True).encode())
        for blob in self.blobs.iterdir():
            if blob.name not in self.sizes:
                blob.unlink()


def entry(name, kind, mode, size=0, owner=(0, 0)):
    """A tar entry without anything that a machine or a moment could change."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size = kind, mode, size
    info.uid, info.gid = owner
    return info


def archive(root, writable, owner):
    """All files below `root`, in the order of their names, as an uncompressed tar."""
    names = {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
    for path in writable:
        for parent in [pathlib.PurePosixPath(path), *pathlib.PurePosixPath(path).parents]:
            if parent.name:
                names.setdefault(parent.as_posix(), None)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in sorted(names.items()):
            if name in writable:
                tar.addfile(entry(name, tarfile.DIRTYPE, 0o700, owner=owner))
            elif path is None or (path.is_dir() and not path.is_symlink()):
                tar.addfile(entry(name, tarfile.DIRTYPE, 0o755))
            elif path.is_file() and not path.is_symlink():
                mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                content = path.read_bytes()
                tar.addfile(entry(name, tarfile.REGTYPE, mode, len(content)), io.BytesIO(content))
            else:
                sys.exit(f"layout.py: {path} is neither a file nor a folder, and nothing else belongs into an image")
    return out.getvalue()


def build(layout, arguments, platform, root):
    """One platform's layer, configuration and manifest; returns the manifest's descriptor."""
    system, _, architecture = platform.partition("/")
    owner = tuple(int(part) for part in arguments.user.split(":"))
    writable = {path.strip("/") for path in arguments.writable}
    tar = archive(pathlib.Path(root), writable, owner)
    # Level 9 takes three times as long for one per cent.
    if arguments.uncompressed:
        layer = layout.add(LAYER, tar)
    else:
        layer = layout.add(f"{LAYER}+gzip", gzip.compress(tar, compresslevel=6, mtime=0))
    settings = {"User": arguments.user, "Entrypoint": [arguments.entrypoint]}
    settings |= {"Env": arguments.env} if arguments.env else {}
    settings |= {"ExposedPorts": {arguments.port: {}}} if arguments.port else {}
    settings |= {"Labels": dict(label.split("=", 1) for label in arguments.label)}
    created = datetime.datetime.fromtimestamp(arguments.created, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = {"created": created, "os": system, "architecture": architecture, "config": settings}
    config["rootfs"] = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]}
    config["history"] = [{"created": created, "created_by": "layout.py"}]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": layout.add(CONFIG, config), "layers": [layer]}
    return {**layout.add(MANIFEST, manifest), "platform": {"os": system, "architecture": architecture}}


def main():
    parser = argparse.ArgumentParser(description="Writes an OCI image layout without a container engine.")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--platform", required=True, action="append", metavar="OS/ARCH=ROOT")
    parser.add_argument("--entrypoint", required=True)
    parser.add_argument("--user", default="65532:65532", help="numbers, so that runAsNonRoot can be checked")
    for name in ("--label", "--env", "--writable"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--port")
    parser.add_argument("--created", type=int, default=0)
    parser.add_argument("--largest", type=float, help="MB; a larger image is refused")
    parser.add_argument("--uncompressed", action="store_true", help="no compressor of this machine has a say in the digest")
    arguments = parser.parse_args()

    layout = Layout(arguments.output)
    images = [build(layout, arguments, *platform.split("=", 1)) for platform in arguments.platform]
    # One platform needs no list around it; several are one image with one digest.
    many = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images}
    image = images[0] if len(images) == 1 else layout.add(INDEX, many)
    size = sum(layout.sizes.values()) / 1e6
    form = "uncompressed" if arguments.uncompressed else "compressed"
    if arguments.largest is not None and size > arguments.largest:
        sys.exit(f"image: {size:.1f} MB {form} are more than {arguments.largest:g}; look at what has grown")
    layout.finish(image, arguments.reference)
    print(f"{arguments.reference}@{image['digest']}")
    print(f"image: {size:.1f} MB {form}, in {arguments.output}", file=sys.stderr)


main()
