#!/bin/sh
# clang_tidy.sh CLANG-TIDY ARGUMENTS... without precompiled headers among them: checks look at all that was precompiled,
# which takes longer than reading what a file includes.
rest=$#
while [ "$rest" -gt 0 ]; do
  case "$1 $2" in
    "-Xclang -include"*) shift 4 && rest=$((rest - 4)) ;;
    *) set -- "$@" "$1" && shift && rest=$((rest - 1)) ;;
  esac
done
exec "$@"
