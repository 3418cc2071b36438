#!/usr/bin/env bash
# Train a model with a teacher on a machine that has a GPU and no network.
#
#   dev/train_on_gpu.sh pack PACK TEACHER CORPUS...         here: teacher (folder, .npy or .vec) and corpus files, 64 MiB at most
#   dev/train_on_gpu.sh train PACK OUT [OPTION...]          there: 7 minutes, options of `elmokit train` may follow
#
# A sentence-transformers folder is packed with its weights in float16. Wheels that the other machine lacks go into PACK/wheels
# by hand. OUT gets the model in float16, the log and the picture of the loss; the snapshots stay outside.
set -euo pipefail
cd "$(dirname "$0")/.."
LIMIT=$((64 << 20))
PYTHON=${PYTHON:-python3}
export PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH}

check_size() {
  local bytes
  bytes=$(du -sb "$1" | cut -f1)
  [ "$bytes" -le "$LIMIT" ] || { echo "$1 holds $bytes bytes; at most $LIMIT may travel" >&2; exit 1; }
  echo "$1: $bytes bytes"
}

command=$1 pack=$2
shift 2
case $command in
pack)
  teacher=$1
  shift
  mkdir -p "$pack/corpus"
  cp -r "$teacher" "$pack/"
  basename "$teacher" > "$pack/teacher.txt"
  cp "$@" "$pack/corpus/"
  find "$pack" -name '*.bin' -o -name '*.onnx' -o -name '*.h5' -o -name '*.msgpack' | xargs -r rm --
  find "$pack" -name 'model.safetensors' | while read -r weights; do
    "$PYTHON" - "$weights" <<'PY'
import sys
from safetensors.numpy import load_file, save_file
arrays = load_file(sys.argv[1])
save_file({n: a.astype("float16") if a.dtype == "float32" else a for n, a in arrays.items()}, sys.argv[1], {"format": "pt"})
PY
  done
  check_size "$pack"
  ;;
train)
  out=$1
  shift
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  if [ -d "$pack/wheels" ]; then "$PYTHON" -m pip install -q --no-index --find-links "$pack/wheels" "$pack"/wheels/*.whl; fi
  device=$("$PYTHON" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
  "$PYTHON" -m elmokit train "$pack"/corpus/* --out "$scratch/model" --teacher "$pack/$(cat "$pack/teacher.txt")" \
    --device "$device" --minutes 7 --save-minutes 60 --batch-size 512 "$@"
  mkdir -p "$out"
  "$PYTHON" -m elmokit convert "$scratch/model" "$out/model" --storage float16
  cp "$scratch/model/run/log.jsonl" "$out/"
  if [ -f "$scratch/model/loss.png" ]; then cp "$scratch/model/loss.png" "$out/"; fi
  check_size "$out"
  ;;
*)
  echo "expected pack or train, got $command" >&2
  exit 2
  ;;
esac
