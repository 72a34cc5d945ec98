#!/usr/bin/env python3
"""Writes a container image as a docker-archive, without docker. The same input gives the same bytes.

  image.py --tag localhost/me/app:1 --out app.tar --layer /app=target/app /etc/app=conf --user 65532 --entrypoint /app
  image.py --tag localhost/me/shell:1 --out shell.tar --busybox --env A=1 --cmd /bin/sh -c 'echo $A'

Each --layer is one layer of TARGET=SOURCE: a file, or a folder with all in it. All belongs to root and has the time 0.
--cmd takes the rest of the line.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# What a runtime mounts over, and what programs take for granted.
FOLDERS = {"tmp": 0o1777, "proc": 0o755, "sys": 0o755, "dev": 0o755, "etc": 0o755}


class Layer:
    """A tar file whose members come sorted, each once, with their parents before them."""

    def __init__(self):
        self.members = {}

    def add(self, target, source):
        target = target.strip("/")
        info = os.lstat(source)
        if stat.S_ISDIR(info.st_mode):
            if target:
                self.members[target] = (source, None)
            for name in os.listdir(source):
                self.add(f"{target}/{name}", os.path.join(source, name))
        elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
            self.members[target] = (source, None)
        # Devices and sockets stay out: a runtime makes its own /dev.

    def link(self, target, to):
        self.members[target.strip("/")] = (None, to)

    def write(self, out):
        folders = dict.fromkeys((parent for name in self.members for parent in parents(name)), 0o755)
        seen = {}
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted({**folders, **self.members}):
                member = tarfile.TarInfo(name)
                source, to = self.members.get(name, (None, None))
                if source is None:
                    member.type, member.mode = (tarfile.SYMTYPE, 0o777) if to else (tarfile.DIRTYPE, folders.get(name))
                    member.linkname = to or ""
                    tar.addfile(member)
                    continue
                info = os.lstat(source)
                member.mode = stat.S_IMODE(info.st_mode)
                if stat.S_ISDIR(info.st_mode):
                    member.type = tarfile.DIRTYPE
                    tar.addfile(member)
                elif stat.S_ISLNK(info.st_mode):
                    member.type, member.linkname = tarfile.SYMTYPE, os.readlink(source)
                    tar.addfile(member)
                elif info.st_nlink > 1 and (info.st_dev, info.st_ino) in seen:
                    member.type, member.linkname = tarfile.LNKTYPE, seen[info.st_dev, info.st_ino]
                    tar.addfile(member)
                else:
                    seen[info.st_dev, info.st_ino] = name
                    member.size = info.st_size
                    with open(source, "rb") as file:
                        tar.addfile(member, file)


class Base(Layer):
    """The folders that every image has."""

    def write(self, out):
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, mode in sorted(FOLDERS.items()):
                member = tarfile.TarInfo(name)
                member.type, member.mode = tarfile.DIRTYPE, mode
                tar.addfile(member)


def parents(name):
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def busybox():
    program = next((path for path in ("/usr/bin/busybox", "/bin/busybox") if os.path.exists(path)), None)
    if program is None:
        sys.exit("image.py: no busybox here; on Debian: apt-get install busybox-static")
    layer = Layer()
    layer.add("bin/busybox", os.path.realpath(program))
    for name in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            layer.link(f"bin/{name}", "busybox")
    return layer


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--layer", nargs="+", action="append", default=[], metavar="TARGET=SOURCE")
    parser.add_argument("--busybox", action="store_true", help="this machine's static busybox, a link for each applet")
    parser.add_argument("--entrypoint", nargs="+", metavar="ARGUMENT")
    parser.add_argument("--cmd", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--user", default="")
    parser.add_argument("--workdir", default="/")
    parser.add_argument("--architecture", default=ARCHITECTURES.get(platform.machine(), platform.machine()))
    return parser.parse_args()


def main():
    args = parse()
    layers = [Base()] + ([busybox()] if args.busybox else [])
    for pairs in args.layer:
        layer = Layer()
        for pair in pairs:
            target, equals, source = pair.partition("=")
            if not equals:
                sys.exit(f"image.py: {pair}: write TARGET=SOURCE")
            layer.add(target, source)
        layers.append(layer)

    # Beside its place under a name of its own first: half an image is never left there.
    folder = tempfile.mkdtemp(prefix=".image.", dir=os.path.dirname(os.path.abspath(args.out)))
    try:
        paths = []
        for number, layer in enumerate(layers):
            paths.append(os.path.join(folder, f"layer{number}"))
            with open(paths[-1], "wb") as out:
                layer.write(out)
        write_archive(args, paths, os.path.join(folder, "archive"))
        os.replace(os.path.join(folder, "archive"), args.out)
    finally:
        shutil.rmtree(folder)


def write_archive(args, layers, out):
    digests = []
    for path in layers:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    program = {
        "Entrypoint": args.entrypoint,
        "Cmd": args.cmd or None,
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"] + args.env,
        "User": args.user,
        "WorkingDir": args.workdir,
    }
    config = {
        "created": "1970-01-01T00:00:00Z",
        "architecture": args.architecture,
        "os": "linux",
        "config": program,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    config = json.dumps(config, sort_keys=True).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    files = [f"{digest}/layer.tar" for digest in digests]
    manifest = json.dumps([{"Config": name, "RepoTags": [args.tag], "Layers": files}]).encode()
    with tarfile.open(out, "w") as tar:
        for target, path in dict(zip(files, layers)).items():
            member = tarfile.TarInfo(target)
            member.size = os.path.getsize(path)
            with open(path, "rb") as file:
                tar.addfile(member, file)
        for target, data in ((name, config), ("manifest.json", manifest)):
            member = tarfile.TarInfo(target)
            member.size = len(data)
            with tempfile.SpooledTemporaryFile() as file:
                file.write(data)
                file.seek(0)
                tar.addfile(member, file)


main()
