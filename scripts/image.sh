#!/usr/bin/env bash
# Makes the image of the operator and its agent without docker: a tar that `docker load`, `ctr images import` and others
# take. Prints its path. (With docker: `docker build .`.)
#
#   scripts/image.sh [NAME:TAG]     default: automl-operator:VERSION
#
# PROFILE: `release`, the default, or `dev`, which tests take.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

of_cargo() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -1; } # FIELD
name=${1:-automl-operator:$(of_cargo version)}
profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-target}
out=$target/image/$profile
mkdir -p "$out"
case $(rustc -vV | sed -n 's/^host: //p') in
  *-linux-gnu) ;;
  *)
    echo "image.sh: an image is made on Linux with glibc, not on $(uname -sm)" >&2
    exit 1
    ;;
esac

# Both programs are linked statically: the agent runs in any image, and the operator's holds nothing else. How glibc is
# linked is decided where a program is linked, so these flags are for the two programs alone.
flags=(-C target-feature=+crt-static -C strip=symbols)
case $profile in
  release)
    for program in automl automl-agent; do
      cargo rustc --locked --release --bin $program -- "${flags[@]}" >&2
      cp "$target/release/$program" "$out/"
    done
    ;;
  dev)
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
  if LC_ALL=C ldd "$out/$program" 2>/dev/null | grep -q '=>'; then
    echo "image.sh: $program is not linked statically" >&2
    exit 1
  fi
done
tar=$out/$(basename "${name//[:\/]/-}").tar
python3 tests/cluster/image.py --tag "$name" --out "$tar" --layer "/automl=$out/automl" "/automl-agent=$out/automl-agent" \
  --user 65532:65532 --entrypoint /automl >&2
if [ "$profile" = release ] && [ "$(wc -c <"$tar")" -gt 30000000 ]; then
  echo "image.sh: the image has $(wc -c <"$tar") bytes, and is to stay below 30 MB" >&2
  exit 1
fi
echo "$tar"
