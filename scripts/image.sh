#!/usr/bin/env bash
# Makes the image of the operator and its agent without docker: a tar that `docker load`, `ctr images import` and others
# take. Prints its path. (With docker: `docker build .`, which makes the same.)
#
#   scripts/image.sh [NAME:TAG]     default: automl-operator:VERSION
#
# Both programs are linked statically, so that the agent runs in any image. PROFILE: the cargo profile, else `release`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=${1:-automl-operator:$version}
profile=${PROFILE:-release}
triple=$(rustc -vV | sed -n 's/^host: //p')
case $triple in
  *-linux-gnu) ;;
  *) echo "image.sh: an image is made on Linux with glibc, not on $triple" >&2; exit 1 ;;
esac

target=${CARGO_TARGET_DIR:-target}
RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile "$profile" --bins --target "$triple" >&2
built=$target/$triple/$profile
out=$target/image
mkdir -p "$out"
tar=$out/$(basename "${name//[:\/]/-}").tar
python3 tests/cluster/image.py --tag "$name" --out "$tar" --layer "/automl=$built/automl" \
  "/automl-agent=$built/automl-agent" --user 65532:65532 --entrypoint /automl >&2
echo "$tar"
