#!/bin/sh
# run.sh FUZZER TARGET WORK SECONDS: the regression inputs of a target, then a bounded time of fuzzing that starts from
# testdata and from what earlier runs found. SECONDS may be 0: regressions and seeds only.
set -eu
fuzzer=$1 target=$2 work=$3 seconds=$4
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../../testdata
seeds=$work/seeds/$target corpus=$work/corpus/$target
rm -rf "$seeds"
mkdir -p "$seeds" "$corpus"

# Copies each file under a name that tells where it is from.
take() {
  for file in "$@"; do
    if [ -f "$file" ]; then
      name=${file#"$data"/}
      cp "$file" "$seeds/$(echo "${name#"$here"/}" | tr / _)"
    fi
  done
}

dictionary=$target longest=4096
take "$here/seeds/$target"/*
case $target in
config)
  take "$data"/zoo/*/config.json "$data"/zoo/*/config_*.json "$data"/bad/*.json "$data"/rules/*/*.json ;;
params)
  take "$data"/zoo/*/params.json "$data"/rules/*/*/params.json
  dictionary=config ;;
gguf)
  take "$data"/bad/*.gguf "$data"/rules/*/*/*.gguf "$data"/rules/*/*.gguf "$data"/zoo/*/*.gguf ;;
safetensors)
  take "$data"/rules/*/*/*.safetensors ;;
npy)
  take "$data"/captures/formats/*.npy ;;
npz)
  take "$data"/captures/formats/*.npz
  dictionary=zip ;;
torch)
  take "$data"/captures/formats/*.pt "$data"/captures/formats/*.pth
  dictionary=zip ;;
weights)
  take "$data"/rules/*/*/*.safetensors
  sharded=$data/rules/MLA407/good
  { cat "$sharded"/*.index.json; printf '\0'; cat "$sharded"/*.safetensors; } >"$seeds/sharded"
  dictionary=safetensors ;;
baseline | snapshot)
  dictionary=audit ;;
esac
# The largest configs would keep the fuzzer busy with a single one.
find "$seeds" -type f -size +16k -delete
[ -e "$here/dictionaries/$dictionary.dict" ] && set -- "-dict=$here/dictionaries/$dictionary.dict" || set --

limits="-timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=$longest"
for regression in "$here/regressions/$target"/*; do
  [ -e "$regression" ] && "$fuzzer" "$target" $limits "$regression"
done
if [ "$seconds" -gt 0 ]; then
  set -- "$@" "-max_total_time=$seconds"
else
  set -- "$@" -runs=0
fi
exec "$fuzzer" "$target" $limits "$@" -print_final_stats=1 -verbosity=1 "-artifact_prefix=$work/$target-" "$corpus" "$seeds"
