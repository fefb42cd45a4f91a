#!/bin/sh
# Everything that a run on a GPU owes, in one call: every kernel and a small model against the definitions, times of decode
# at the sizes of OPT models, and where Node is, `shadowllm parity run` and `shadowllm bench`. What is found goes into one
# folder, with certificates that say of which kernels, device and driver it is.
#
# It needs the NVIDIA driver and a C++ compiler (g++, clang++, or nvcc with its own), or a program compiled elsewhere;
# Node 22.18 or newer is used where it is there. A step whose result is there, made of the same things, is not repeated.
set -eu

usage() {
  cat <<'TEXT'
usage: cuda/certify.sh [--emulated] [--output FOLDER] [--program FILE] [--driver FILE] [--without-node]
  --emulated        over the emulator, at tiny sizes: tries this script and the kernels, and is labelled so
  --output FOLDER   where results go, and are looked for (default: certificate-<device>-<date>)
  --program FILE    cuda/certify compiled elsewhere, instead of compiling it here
  --driver FILE     another library of the driver's calls
  --without-node    leave out what needs Node
exit codes: 0 done, 1 something disagrees, 2 usage, 3 a file was refused, 4 no compiler, driver or device
TEXT
}

root=$(cd "$(dirname "$0")/.." && pwd)
kernels=$root/src/backends/cuda/kernels.ptx
head=$root/fixtures/cuda/certify.head data=$root/fixtures/cuda/certify.data.gz
emulated=no node=auto output='' program='' driver=''
worst=0

say() { printf '%s\n' "$*" >&2; }

# Ends with one line: exit code, what was expected and what was there.
stop() {
  code=$1
  shift
  say "certify: $*"
  exit "$code"
}

has() { command -v "$1" >/dev/null 2>&1; }

while [ $# -gt 0 ]; do
  case $1 in
    --emulated) emulated=yes ;;
    --without-node) node=no ;;
    --output | --program | --driver)
      [ $# -gt 1 ] || stop 2 "$1: expected a value, got none"
      case $1 in
        --output) output=$2 ;;
        --program) program=$2 ;;
        --driver) driver=$2 ;;
      esac
      shift
      ;;
    --help) usage && exit 0 ;;
    *) stop 2 "$1: expected a flag that --help lists, got another word" ;;
  esac
  shift
done

for tool in gzip sha256sum date sed cut tr grep find xargs mktemp; do
  has "$tool" || stop 4 "expected the tool $tool, got none"
done
for file in "$kernels" "$head" "$data"; do
  [ -r "$file" ] || stop 3 "$file: expected a file, got none"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# The SHA-256 of files, one after another.
hash_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

find_node() {
  [ "$node" = auto ] || return 0
  node=no
  if ! has node; then say 'node: none here; what needs it is left out'
  elif [ ! -d "$root/node_modules/commander" ]; then say 'node: no packages here (npm ci); what needs them is left out'
  elif ! (cd "$root" && node scripts/node.mjs --version) >/dev/null 2>&1; then say 'node: none of version 22.18 or newer; what needs it is left out'
  else node=yes; fi
}

shadowllm() { (cd "$root" && node scripts/node.mjs src/cli/main.ts "$@"); }

# bench BACKEND SHAPE STORAGE: dense and sparse decode. A shape that there is no room for is left out.
run_bench() {
  if [ "$2" = tiny ]; then
    set -- "$1" --model "$root/fixtures/golden/preln" --planner random --sparsity 0.5 --test tg2@4 --rounds 1
  else
    layers=''
    [ "$2" != opt-6.7b ] || layers='--layers 8'
    # shellcheck disable=SC2086
    set -- "$1" --shape "$2" --storage "$3" $layers
  fi
  backend=$1
  shift
  code=0
  shadowllm bench --backend "$backend" --quiet "$@" 2>"$scratch/bench" || code=$?
  if [ "$code" -eq 4 ] && grep -q BACKEND_MEMORY "$scratch/bench"; then
    sed 's/^/left out: /' "$scratch/bench"
    return 0
  fi
  cat "$scratch/bench" >&2
  return "$code"
}

compile() {
  flags='-std=c++17 -O2'
  source=$root/cuda/certify/certify.cpp
  for compiler in ${CXX:-} g++ clang++; do
    has "$compiler" || continue
    # shellcheck disable=SC2086
    "$compiler" $flags -ffp-contract=off -o "$1" "$source" -ldl -pthread && return 0
    stop 4 "$compiler: expected a compiler of C++17, got an error"
  done
  has nvcc || stop 4 'expected g++, clang++, nvcc or --program FILE, got none of them'
  # shellcheck disable=SC2086
  nvcc $flags -Xcompiler -ffp-contract=off -o "$1" "$source" -ldl -lpthread || stop 4 'nvcc: expected a compiler of C++17, got an error'
}

# Runs a step unless its result is there: step NAME RESULT KEY COMMAND... What it prints is kept beside the result.
step() {
  name=$1 result=$2 key=$3
  shift 3
  stamp=$output/$name.done
  if [ -r "$result" ] && [ -r "$stamp" ] && [ "$(cat "$stamp")" = "$key $(hash_of "$result")" ]; then
    say "$name: there already"
    return 0
  fi
  say "$name ..."
  rm -f "$stamp"
  code=0
  "$@" >"$output/$name.txt" 2>"$scratch/stderr" </dev/null || code=$?
  sed 's/^/  /' "$scratch/stderr" >&2
  [ "$code" -lt 128 ] || exit 130
  [ "$code" -le 1 ] || printf 'ended with exit code %s\n' "$code" >>"$output/$name.txt"
  if [ "$code" -eq 0 ]; then printf '%s %s\n' "$key" "$(hash_of "$result")" >"$stamp"
  elif [ "$worst" -le 1 ]; then worst=$code; fi
  say "$name: $(verdict_on "$name")"
}

# What came of a step, in one line: the last it printed, but for a bench, which ends with a remark.
verdict_on() {
  case $1 in
    bench-*) if [ -r "$output/$1.done" ] && ! grep -q '^left out: ' "$output/$1.txt"; then echo measured; return; fi ;;
  esac
  sed -n '$p' "$output/$1.txt"
}

if [ -n "$driver" ]; then
  # What Node runs would look for the usual one.
  [ "$node" = no ] || say 'node: left out, since it takes no other driver'
  node=no
fi
find_node
if [ "$emulated" = yes ] && [ -z "$driver" ]; then
  driver=$root/cuda/build/libcuda_emulated.so
  [ "$node" = no ] || (cd "$root" && node scripts/node.mjs scripts/build_cuda_emulator.ts) >&2 || stop 4 'expected an emulator, got none'
  [ -r "$driver" ] || stop 4 "expected the emulator that \"npm run build:cuda-emulator\" makes, got none"
fi
driver=${driver:-libcuda.so.1}

if [ -z "$program" ]; then
  program=$scratch/certify
  compile "$program"
fi
[ -x "$program" ] || stop 4 "$program: expected a program, got none"

bundle=$scratch/certify.safetensors
{ cat "$head" && gzip -dc "$data" 2>/dev/null; } >"$bundle" || stop 3 "$data: expected what gzip can unpack, got a damaged file"
"$program" --bundle "$bundle" --kernels "$kernels" --sets >"$scratch/sets"
device=$("$program" --describe --driver "$driver")
# Whatever is given for a GPU, what calls itself emulated is.
case $device in emulated*) emulated=yes ;; esac
say "device: $device"

if [ -z "$output" ]; then
  name=$(printf '%s' "${device%%,*}" | tr -cs 'A-Za-z0-9' '-' | sed 's/-$//')
  output=certificate-$name-$(date -u +%Y-%m-%d)
fi
mkdir -p "$output" || stop 2 "$output: expected a folder that can be written, got an error"
output=$(cd "$output" && pwd)

commit=$( (cd "$root" && git rev-parse HEAD) 2>/dev/null || true)
sources=$(hash_of "$program" "$kernels" "$bundle")
common="$sources $device $commit"

# The compiled program first, for each set of kernels that there are cases for.
while read -r set backend emulation; do
  [ "$emulated" = no ] || backend=$emulation
  step "$backend" "$output/$backend.json" "$common" "$program" --bundle "$bundle" --kernels "$kernels" --set "$set" \
    --driver "$driver" --commit "$commit" --certificate "$output/$backend.json"
  step "shapes-$backend" "$output/shapes-$backend.json" "$common" "$program" --bundle "$bundle" --kernels "$kernels" --set "$set" \
    --driver "$driver" --commit "$commit" --shapes "$output/shapes-$backend.json"
done <"$scratch/sets"

# Then, with Node, the host side of this project on the same device.
if [ "$node" = yes ]; then
  tree=$(cd "$root" && find src -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -d ' ' -f 1)
  while read -r _ backend emulation; do
    small=''
    [ "$emulated" = no ] || { backend=$emulation small='--small --ops add,linear,attention'; }
    # shellcheck disable=SC2086
    step "parity-$backend" "$output/parity-$backend.json" "$common $tree" \
      shadowllm parity run --backend "$backend" --quiet $small --certificate "$output/parity-$backend.json"
    benches='opt-125m:f32 opt-125m:f16 opt-1.3b:f16 opt-6.7b:f16'
    [ "$emulated" = no ] || benches='tiny:f32'
    for bench in $benches; do
      name=bench-$backend-${bench%:*}-${bench#*:}
      step "$name" "$output/$name.txt" "$common $tree" run_bench "$backend" "${bench%:*}" "${bench#*:}"
    done
  done <"$scratch/sets"
fi

{
  printf 'device   %s\n' "$device"
  printf 'commit   %s\n' "${commit:-unknown}"
  printf 'kernels  %s\n' "$(hash_of "$kernels")"
  printf 'bundle   %s\n' "$(hash_of "$bundle")"
  [ "$emulated" = no ] || printf 'emulated: no figure here is one of a GPU\n'
  for text in "$output"/*.txt; do
    [ "${text##*/}" = summary.txt ] || printf '%-28s %s\n' "$(basename "$text" .txt)" "$(verdict_on "$(basename "$text" .txt)")"
  done
} >"$scratch/summary"
mv "$scratch/summary" "$output/summary.txt"
cat "$output/summary.txt"
exit "$worst"
