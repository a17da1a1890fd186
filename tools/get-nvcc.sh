#!/usr/bin/env bash
# Installs nvcc 13.0 into .cuda/ from NVIDIA's own Python wheels: 110 MB to download, 280 MB on disk, no root, nothing
# outside this folder. The build finds it there. Run again, it does nothing; to be rid of it, delete .cuda.
set -euo pipefail
cd "$(dirname "$0")/.."

# All pinned: nvcc itself asks for "any" of its own parts, and parts of different versions do not fit together.
# 13.0 because a driver refuses PTX of a newer toolkit (docs/adr/0005-nvcc-from-wheels.md). cuobjdump and nvdisasm only look
# into finished kernels, and have no 13.0 wheel.
wheels=(
    nvidia-cuda-nvcc==13.0.88
    nvidia-nvvm==13.0.88
    nvidia-cuda-crt==13.0.88
    nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85
    nvidia-cuda-cuobjdump==13.2.51
    nvidia-cuda-nvdisasm==13.2.51
)

fail() {
    printf 'get-nvcc: %s\n' "$@" >&2
    exit 1
}

if [ "$(cat .cuda/wheels 2>/dev/null)" = "${wheels[*]}" ] && .cuda/bin/nvcc --version >/dev/null 2>&1; then
    echo "nvcc 13.0 is already there: .cuda/bin/nvcc"
    exit 0
fi

command -v python3 >/dev/null || fail "python3 was not found: install it, or install CUDA 13.0 yourself and set NVCC to its nvcc"
[ "$(uname -s)" = Linux ] || fail "these wheels are for Linux; install CUDA 13.0 yourself and set NVCC to its nvcc"

# Everything is put together beside its place and moved there whole.
new=$(mktemp -d ./.cuda-new.XXXXXX)
trap 'rm -rf "$new"' EXIT
if python3 -m pip --version >/dev/null 2>&1; then
    pip=(python3 -m pip)
elif python3 -m venv "$new/venv" >/dev/null 2>&1; then
    pip=("$new/venv/bin/python" -m pip)
else
    fail "python3 has neither pip nor venv: install one (Debian: apt install python3-pip), or CUDA 13.0 yourself and set NVCC"
fi
"${pip[@]}" install --quiet --no-cache-dir --root-user-action=ignore --disable-pip-version-check --no-deps --only-binary :all: --target "$new/wheels" "${wheels[@]}" ||
    fail "pip could not install the wheels (above is why): a connection to the package index is needed, or set NVCC to an nvcc 13.0"

root=$new/wheels/nvidia/cu13
"$root/bin/nvcc" --version | grep -q 'release 13\.0,' || fail "the installed nvcc does not say that it is 13.0: $("$root/bin/nvcc" --version 2>&1 | tail -n 2)"
mkdir "$root/licences"
for info in "$new"/wheels/*.dist-info; do
    find "$info" -iname '*license*' -type f -exec cp {} "$root/licences/$(basename "$info" .dist-info).txt" \;
done
echo "${wheels[*]}" >"$root/wheels"
rm -rf .cuda
mv "$root" .cuda
touch build.rs # or cargo would not look for nvcc again

cat <<'END'
nvcc 13.0 is in .cuda/bin/nvcc. Next:
    cargo build --release                                  # finds it, and builds the CUDA kernels in
    cargo run --release -- demo --device cuda
END
