#!/usr/bin/env bash
# Says which of the local names this machine's programs cannot resolve, and the line to add; changes nothing.
# Browsers and curl resolve names below .localhost by themselves; most other programs ask the system.
set -euo pipefail

# Another in tests.
: "${HOSTS:=/etc/hosts}"

names=(test.localhost wiki.localhost rancher.localhost)
missing=()
for name in "${names[@]}"; do
  if command -v getent >/dev/null; then
    getent hosts "$name" >/dev/null || missing+=("$name")
  else
    grep -qE "^[^#]*[[:space:]]$name([[:space:]]|\$)" "$HOSTS" || missing+=("$name")
  fi
done

if ((${#missing[@]} == 0)); then
  echo "all there: ${names[*]}"
  exit 0
fi
echo "not resolved: ${missing[*]}"
echo "add this line to /etc/hosts:"
echo "127.0.0.1 ${missing[*]}"
exit 1
