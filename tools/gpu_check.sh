#!/usr/bin/env bash
# Checks clip-es on a machine with an NVIDIA GPU: build, tests, compute-sanitizer and benchmark. It needs no Node.js, but nvcc, CMake, and
# a Python on PATH with a CUDA build of torch 2.11 to 2.14.
#
#   tools/gpu_check.sh [--out DIR] [--model FILE.pt] [--device cuda[:N]] [STEP...]
#
#   STEP      info build model tests memcheck racecheck synccheck initcheck bench; all of them by default, in this order
#   --out     folder for the build, the model and one log per step (default: build-gpu)
#   --model   archive for the benchmark (default: the model step writes a ViT-B/16 with random weights, whose speed is that of the real one)
#
# Each step is meant to take less than ten minutes. Later steps need the build of an earlier run with the same --out.
# Exit status: 0 if all steps passed, 1 if one failed, 2 for wrong arguments.
set -uo pipefail
usage() { echo "$1; see the first lines of $0" >&2; exit 2; }

steps=(info build model tests memcheck racecheck synccheck initcheck bench)
out='' model='' device=cuda wanted=()
while (($#)); do
  case $1 in
    --out | --model | --device)
      (($# > 1)) || usage "$1 has no value"
      case $1 in --out) out=$2 ;; --model) model=$2 ;; --device) device=$2 ;; esac
      shift 2
      ;;
    *)
      [[ " ${steps[*]} " == *" $1 "* ]] || usage "'$1' is not a step, expected one of: ${steps[*]}"
      wanted+=("$1")
      shift
      ;;
  esac
done
((${#wanted[@]})) || wanted=("${steps[@]}")
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${out:=$root/build-gpu}" && out=$(cd "$out" && pwd) || exit 1
model=${model:-$out/vit-b-16-random.pt}
libtorch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))') || { echo 'The Python on PATH has no torch' >&2; exit 1; }

run_tests() { "$@" "$out/build/clip_es_test" --libtorch "$libtorch" --device "$device" "${only[@]}"; }

# Only the kernels' own tests: LibTorch's kernels are not checked here.
run_sanitizer() {
  command -v compute-sanitizer > /dev/null || { echo 'skipped: compute-sanitizer is not on PATH'; return 0; }
  local only tests
  for tests in cuda_tower cuda_cam cuda_attention "the keys' factors"; do
    only=(--only "$tests")
    run_tests compute-sanitizer --tool "$1" --error-exitcode 1 || return 1
  done
}

run_bench() {
  local precision labels batch
  local bench=("$out/build/clip_es_bench" --libtorch "$libtorch" --model "$model" --device "$device")
  for precision in bfloat16 float32; do
    for labels in 2 20; do
      "${bench[@]}" --precision "$precision" --labels "$labels" --repeat 50 || return 1
    done
    for batch in 4 16; do
      "${bench[@]}" --precision "$precision" --labels 2 --batch "$batch" --concurrency 2 --repeat 20 || return 1
    done
  done
}

step() {
  local only=()
  case $1 in
    info)
      echo "clip-es $(git -C "$root" rev-parse --short HEAD 2> /dev/null || echo 'without git'), $(date -u +%F)"
      nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total --format=csv && nvcc --version | tail -n 2 &&
        python3 -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
      ;;
    build)
      cmake -S "$root" -B "$out/build" --log-level=WARNING -DCLIP_ES_CUDA=ON -DCLIP_ES_LIBTORCH="$libtorch" &&
        cmake --build "$out/build" --parallel
      ;;
    model) [[ -e $model ]] || python3 "$root/tools/golden/make_random_archive.py" "$model" ;;
    tests) run_tests ;;
    bench) run_bench ;;
    *) run_sanitizer "$1" ;;
  esac
}

cd "$root" || exit 1
failed=()
for name in "${wanted[@]}"; do
  echo "==> $name"
  start=$SECONDS
  step "$name" 2>&1 | tee "$out/$name.log"
  status=${PIPESTATUS[0]}
  echo "==> $name: $( ((status)) && echo "FAILED ($status)" || echo passed), $((SECONDS - start)) s"
  ((status)) && failed+=("$name")
done
((${#failed[@]} == 0)) && echo "All steps passed; logs: $out" && exit 0
echo "Failed: ${failed[*]}; logs: $out"
exit 1
