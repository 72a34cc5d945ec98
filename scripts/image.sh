#!/usr/bin/env bash
# Makes the image of the operator and its agent without docker: a tar that `docker load`, `ctr images import` and others
# take. Prints its path. (With docker: `docker build .`.)
#
#   scripts/image.sh [NAME:TAG]     default: automl-operator:VERSION
#
# PROFILE: `release`, the default, or `dev`, which tests take. TARGET: for another processor, such as
# `aarch64-unknown-linux-gnu` (on Debian: rustup target add it, and apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

of_cargo() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -1; } # FIELD
name=${1:-automl-operator:$(of_cargo version)}
profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
triple=${TARGET:-$host}
case $triple in
  x86_64-*-linux-*) architecture=amd64 ;;
  aarch64-*-linux-*) architecture=arm64 ;;
  *)
    echo "image.sh: an image is for Linux on x86_64 or aarch64, not for $triple (TARGET names another)" >&2
    exit 1
    ;;
esac
out=$target/image/$profile cross=() made=$target/dist
if [ "$triple" != "$host" ]; then
  out=$target/image/$profile-$architecture cross=(--target "$triple") made=$target/$triple/dist
  # How Debian names it; where it is named otherwise, that variable of Cargo is set already.
  linker=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$triple")_LINKER
  export "$linker=${!linker:-${triple%%-*}-linux-gnu-gcc}"
fi
mkdir -p "$out"

# Both programs are linked statically: the agent runs in any image, and the operator's holds nothing else. How glibc is
# linked is decided where a program is linked, so these flags are for the two programs alone.
flags=(-C target-feature=+crt-static -C strip=symbols)
# What Rust's own linker, the default on x86_64, can do: equal functions once, and relocations in a few bytes each.
smaller=()
[ $architecture = arm64 ] || smaller=(-C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr)
case $profile in
  release)
    # Where it is set for one's own builds, the image would be a third larger.
    export CARGO_INCREMENTAL=0
    for program in automl automl-agent; do
      cargo rustc --locked --profile dist "${cross[@]}" --bin $program -- "${flags[@]}" "${smaller[@]}" >&2
      cp "$made/$program" "$out/"
    done
    ;;
  dev)
    if [ "$triple" != "$host" ]; then
      echo "image.sh: PROFILE=dev is for this machine alone, not for $triple" >&2
      exit 1
    fi
    # The library that the tests have been built with. Cargo would compile another one for programs alone, since what the
    # tests ask of dependencies (tokio's paused clock) then is left out: 3 minutes, where this takes seconds.
    library=$(cargo test --locked --no-run --test cluster --message-format json-render-diagnostics | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message.get("target", {}).get("kind") == ["lib"] and message["target"]["name"] == "automl_operator":
        print(*(name for name in message["filenames"] if name.endswith(".rlib")))')
    for program in automl:main automl-agent:agent_main; do
      rustc --edition "$(of_cargo edition)" --crate-name "$(tr - _ <<<"${program%:*}")" "src/${program#*:}.rs" "${flags[@]}" \
        --extern automl_operator="$library" -L dependency="$target/debug/deps" -o "$out/${program%:*}" >&2
    done
    ;;
  *)
    echo "image.sh: PROFILE=$profile is neither release nor dev" >&2
    exit 1
    ;;
esac
for program in automl automl-agent; do
  if LC_ALL=C readelf --program-headers "$out/$program" | grep -q INTERP; then
    echo "image.sh: $program is not linked statically" >&2
    exit 1
  fi
done
tar=$out/$(basename "${name//[:\/]/-}").tar
python3 tests/cluster/image.py --tag "$name" --out "$tar" --layer "/automl=$out/automl" "/automl-agent=$out/automl-agent" \
  --architecture "$architecture" --user 65532:65532 --entrypoint /automl >&2
if [ "$profile" = release ] && [ "$(wc -c <"$tar")" -gt 30000000 ]; then
  echo "image.sh: the image has $(wc -c <"$tar") bytes, and is to stay below 30 MB" >&2
  exit 1
fi
echo "$tar"
