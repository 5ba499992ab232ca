#!/usr/bin/env bash
# Everything about CUDA that needs an NVIDIA GPU, on a machine that has one, without Node.js: configures and builds with the torch of the
# Python on PATH (a CUDA build, 2.11 to 2.14) and CUDA's nvcc, runs every test of the kernels and stages on the GPU, once more under
# compute-sanitizer where it is installed, and the bench. One report, on the terminal and in gpu-check.txt.
#   tools/gpu_check.sh [MODEL.pt] [DEVICE]        default: models/emoji-clip.pt, whose speed says little, and cuda
# Speed does not depend on the weights' values: tools/golden/make_random_archive.py writes a ViT-B/16 for the bench.
set -uo pipefail
cd "$(dirname "$0")/.."
model=${1:-models/emoji-clip.pt}
device=${2:-cuda}
build=build-gpu
report=gpu-check.txt
failed=0

{
  echo "clip-es $(git rev-parse --short HEAD 2> /dev/null || echo '(no git)'), $(date -u +%F)"
  nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total --format=csv || { echo 'No NVIDIA driver answers'; exit 1; }
  nvcc --version | tail -n 2
  libtorch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))') || { echo 'The Python on PATH has no torch'; exit 1; }
  python3 -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'

  step() {
    echo
    echo "==> $*"
    "$@" || { echo "FAILED ($?): $*"; failed=1; return 1; }
  }

  step cmake -S . -B "$build" --log-level=WARNING -DCLIP_ES_CUDA=ON -DCLIP_ES_WERROR=ON -DCLIP_ES_LIBTORCH="$libtorch" &&
    step cmake --build "$build" --parallel || exit 1

  step "$build/clip_es_test" --libtorch "$libtorch" --device "$device"
  if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
      # LibTorch's own kernels are not ours to judge: the kernels' tests use its products in one place alone.
      step compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/clip_es_test" --libtorch "$libtorch" --device "$device" --only cuda_tower
      step compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/clip_es_test" --libtorch "$libtorch" --device "$device" --only cuda_cam
    done
  else
    echo
    echo 'compute-sanitizer is not installed: left out'
  fi
  for precision in bfloat16 float32; do
    for labels in 2 20; do
      step "$build/clip_es_bench" --libtorch "$libtorch" --model "$model" --device "$device" --precision "$precision" --labels "$labels" --repeat 50
    done
    for batch in 4 16; do
      step "$build/clip_es_bench" --libtorch "$libtorch" --model "$model" --device "$device" --precision "$precision" --labels 2 \
        --batch "$batch" --concurrency 2 --repeat 20
    done
  done
  echo
  ((failed == 0)) && echo 'all passed' || echo 'some FAILED'
  exit "$failed"
} 2>&1 | tee "$report"
exit "${PIPESTATUS[0]}"
