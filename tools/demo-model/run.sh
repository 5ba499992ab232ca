#!/usr/bin/env bash
# Makes the demo model from nothing: icons, sprites, training, evaluation, scenes; or a data set of such scenes. See README.md.
# A step whose result exists is skipped, and training goes on from its last checkpoint: run it again after an interruption,
# delete a result to repeat its step.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tools/demo-model/run.sh [--build DIR] [--minutes N] [--workers N] [--scenes N]
       tools/demo-model/run.sh --set DIR [--count N] [--styles held-out|seen] [--class-file FILE] [--seed N] [--build DIR]
  --build DIR    where everything is written (default build-demo-model in the repository)
  --minutes N    processor time of each training process (default 70); 1 is a trial of the machinery, not a model
  --workers N    training processes of one thread each (default: the processor's cores, at most 4)
  --scenes N     scenes of the evaluation (default 400)
  --set DIR      train nothing: draw a data set with ground truth to DIR, for clip-es dataset and clip-es eval
  --count N      pictures of the data set (default 240)
  --styles NAME  styles of the data set: held-out (default), which the model never saw, or seen, which it was trained on
  --class-file F classes of the data set (default: all that the model knows)
  --seed N       another seed draws other pictures (default 11)
Environment: PYTHON (default python3; needs torch, numpy and pillow), CLIP_BPE (CLIP's merges, default the repository's).
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
build=$here/../../build-demo-model
python=${PYTHON:-python3}
minutes=70 scenes=400 set='' count=240 styles=held-out seed=11
class_file=$here/../../models/emoji-classes.json
workers=$(nproc)
((workers <= 4)) || workers=4
fail() { echo "run.sh: $*" >&2; exit 1; }

options() {
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) usage; exit 0 ;;
      --build | --minutes | --workers | --scenes | --set | --count | --styles | --class-file | --seed) [ $# -ge 2 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; } ;;&
      --build) build=$2 ;;
      --minutes) minutes=$2 ;;
      --workers) workers=$2 ;;
      --scenes) scenes=$2 ;;
      --set) set=$2 ;;
      --count) count=$2 ;;
      --styles) styles=$2 ;;
      --class-file) class_file=$(realpath "$2") ;; # the folder will change
      --seed) seed=$2 ;;
      *) echo "run.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift 2
  done
}

requirements() {
  command -v "$python" >/dev/null || fail "no $python; set PYTHON to a Python 3.10 or newer"
  case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac # the folder will change
  "$python" -c 'import sys; assert sys.version_info >= (3, 10)' || fail "$python is older than 3.10; set PYTHON to a newer one"
  for module in torch numpy PIL; do
    "$python" -c "import $module" 2>/dev/null || fail "$python has no $module: $python -m pip install torch numpy pillow"
  done
  [ -n "$set" ] || "$python" -c "from torch.optim import Muon" 2>/dev/null ||
    fail "training needs torch 2.9 or newer: $python -m pip install -U torch"
  command -v node >/dev/null && command -v npm >/dev/null || fail "node and npm are needed: https://nodejs.org"
  merges=${CLIP_BPE:-$here/../../data/clip_merges.txt.gz}
  [ -f "$merges" ] || fail "no file $merges; set CLIP_BPE to CLIP's merges"
  export CLIP_BPE=$(cd "$(dirname "$merges")" && pwd)/$(basename "$merges")
}

# Else glibc gives large blocks back to the system and takes them anew for every array: most of the time of drawing a set.
export MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_MMAP_THRESHOLD_=4294967296

# step NAME RESULT COMMAND…: runs the command unless its result exists. The command writes to $out, which becomes the
# result only when it has ended well: an interrupted step leaves none. Of training alone, $out is kept to go on with.
step() {
  local name=$1 result=$2
  shift 2
  if [ -e "$result" ]; then
    echo "[$(date +%T)] $name: $result is there"
    return
  fi
  echo "[$(date +%T)] $name"
  out=$result.part
  [ "$result" = model ] || rm -rf "$out"
  "$@" || fail "$name failed; what it wrote so far is in $PWD/$out"
  mv "$out" "$result"
}

install() { mkdir "$out" && cp "$here/package.json" "$out" && (cd "$out" && npm install --no-audit --no-fund); }
rasterise() { local to=$PWD/$out; (cd icons && node "$here/rasterize.mjs" "$here/words.json" "$to" "$@"); } # styles, or all
compose() { "$python" "$here/sprites.py" "$1" "$here/words.json" "$out"; }
train() { # all files of the run lie in $out, which an interruption leaves for the next time
  mkdir -p "$out"
  "$python" "$here/train.py" sprites.pt "$here/words.json" "$out/emoji-clip" --minutes "$minutes" --workers "$workers" |
    tee -a "$out/log.txt"
}
evaluate() {
  mkdir "$out"
  "$python" "$here/evaluate.py" model/emoji-clip.pt sprites.pt model/emoji-clip.classes.json --scenes "$scenes" \
    --sheet "$out/sheet.png" --write "$out/scenes" | tee "$out/figures.txt"
}

# The style that the model never saw is drawn by itself, so that a data set in it takes no more than its pictures.
make_set() {
  local sprites=sprites.pt
  if [ "$styles" = held-out ]; then
    sprites=held-out.pt
    step "draw the icons" held-out rasterise twemoji
    step "pack the sprites" held-out.pt compose held-out
  else
    step "draw the icons" sprites rasterise
    step "pack the sprites" sprites.pt compose sprites
  fi
  "$python" "$here/make_set.py" "$sprites" "$class_file" "$set" --count "$count" --styles "$styles" --seed "$seed"
}

# Bash reads a script as it goes; a function it has read whole, so that this file may change while the runs last.
main() {
  options "$@"
  requirements
  mkdir -p "$build"
  case $set in '' | /*) ;; *) set=$PWD/$set ;; esac # the folder will change
  cd "$build"
  echo "build folder: $PWD"
  step "install the icon packages" icons install
  if [ -n "$set" ]; then
    make_set
    exit
  fi
  step "draw the icons" sprites rasterise
  step "pack the sprites" sprites.pt compose sprites
  step "train, $minutes min of $workers processes" model train
  step "evaluate and draw the scenes" evaluation evaluate

  echo "[$(date +%T)] done"
  echo "model:   $PWD/model/emoji-clip.pt"
  echo "classes: $PWD/model/emoji-clip.classes.json"
  echo "scenes:  $PWD/evaluation/scenes"
  echo "figures: $PWD/evaluation/figures.txt"
  exit
}

main "$@"
