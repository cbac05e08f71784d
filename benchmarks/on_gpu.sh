#!/bin/sh
# Everything that only a GPU can show, in one command of less than eight minutes:
#
#     benchmarks/on_gpu.sh [--small] [--timm DIR] [--torchvision DIR] [--out FILE]
#
# It needs a Python with torch >= 2.11 ($PYTHON, by default python3) and no network: what else is missing comes from
# wheels/, which `make wheels` fills on a machine that has one. --small is the CPU's form. The table is printed last.
set -u
cd "$(dirname "$0")/.." || exit
PYTHON=${PYTHON:-python3}
echo "== $(date -u '+%Y-%m-%d %H:%M:%S') UTC, $(uname -srm), $(nproc) cores"
nvidia-smi --query-gpu=name,uuid,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no nvidia-smi"
# a folder, no virtual environment: $PYTHON may be one's own, whose packages another one would not see
if ls wheels/*.whl >/dev/null 2>&1 && [ "${TAGDAG_NO_WHEELS:-0}" = 0 ]; then
    site=$(mktemp -d) && trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-cache-dir --target "$site" wheels/*.whl || exit
    PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} && export PYTHONPATH
fi
PYTHONUNBUFFERED=1 "$PYTHON" -m benchmarks.on_gpu "$@"
