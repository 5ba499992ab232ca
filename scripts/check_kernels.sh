#!/usr/bin/env bash
# scripts/check_kernels.sh [BUILD]: fails if an object of a CPU level in BUILD (default: build-native) defines a global symbol outside the
# level's namespace, or has code that runs when the program starts.
#
# The linker keeps one copy of an inline function or template that several objects define. If that is the copy from an object that was
# compiled for AVX-512, the whole program crashes on older CPUs.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/.."
build=${1:-build-native}
levels=0
failed=0
for folder in "$build"/CMakeFiles/clip_es_*.dir/cpp/ops/cpu/kernels; do
  level=${folder#"$build"/CMakeFiles/clip_es_}
  level=${level%%.dir/*}
  levels=$((levels + 1))
  objects=("$folder"/*.o)
  ((${#objects[@]} > 0)) || { echo "$folder has no objects: build clip_es_$level first"; exit 1; }
  for object in "${objects[@]}"; do
    # Mangled: clip_es::ops::LEVEL::...
    foreign=$(nm --defined-only --extern-only "$object" | awk 'NF == 3 { print $3 }' | grep -Ev "^_ZNK?7clip_es3ops${#level}${level}[0-9]" || true)
    starting=$(nm --defined-only "$object" | grep -E '_GLOBAL__sub_I|__cxx_global_var_init' || true)
    [[ -z $foreign$starting ]] && continue
    echo "$object defines outside of clip_es::ops::$level:"
    printf '%s\n' "$foreign" "$starting" | c++filt
    failed=1
  done
done
((levels > 0)) || { echo "$build has no objects of CPU levels: build it first"; exit 1; }
((failed == 0)) && echo "$levels levels define nothing outside of their namespaces"
