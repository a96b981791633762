#!/bin/sh
# Lets a CPython tree find its own libraries wherever it stands, and drops debug symbols. Usage: make_relocatable.sh TREE
set -eu
cd "$1"
find bin lib -type f \( -path 'bin/python3*' -o -name '*.so' -o -name '*.so.*' \) | LC_ALL=C sort | while read -r file; do
  # Scripts lie beside the programs.
  [ "$(head -c 4 "$file" | od -An -c | tr -d ' ')" = '177ELF' ] || continue
  strip --strip-unneeded "$file"
  case $file in
  bin/*) patchelf --set-rpath '$ORIGIN/../lib' "$file" ;;
  lib/libpython*) patchelf --set-rpath '$ORIGIN' "$file" ;;
  # A module finds libpython where the program found it.
  *) patchelf --remove-rpath "$file" ;;
  esac
done
