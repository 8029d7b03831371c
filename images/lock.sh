#!/bin/sh
# Makes every lock file of the images anew, under constraints.txt. Run it after a change of that or of a requirements.in:
#   images/lock.sh            keeps the versions that still fit
#   images/lock.sh --upgrade  takes the newest that fit
set -eu
cd "$(dirname "$0")"
bases=../tests/kubernetes/images/bases

lock() {  # FOLDER OUTPUT [OPTION …]
  folder=$1 output=$2; shift 2
  echo "$output"
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    "$@" "$folder/requirements.in" --output-file "$output"
}

# What the base has is left out, so that it stays as it is there.
lock gateway gateway/requirements.txt --constraint constraints.txt "$@" $(
  for package in aiohappyeyeballs aiohttp aiosignal attrs certifi cffi cryptography frozenlist idna kubernetes-asyncio multidict \
    propcache pycparser python-dateutil pyyaml six traitlets urllib3 yarl; do echo "--no-emit-package $package"; done)
lock hub hub/requirements.txt --constraint constraints.txt "$@" $(
  for package in aiohappyeyeballs aiohttp aiosignal attrs certifi cffi charset-normalizer cryptography frozenlist idna \
    multidict propcache pycparser requests typing-extensions urllib3 yarl; do echo "--no-emit-package $package"; done)
lock user user/requirements.txt --constraint constraints.txt --no-deps "$@"

# What stands for the bases in the tests, which know the public ones only by name.
for base in gateway hub notebook; do
  lock $bases/$base $bases/$base/requirements.txt --constraint constraints.txt "$@"
done
# The hub once more, with the next JupyterHub.
next=$(mktemp)
trap 'rm "$next"' EXIT
sed 's/^jupyterhub==.*/jupyterhub==6.*/' constraints.txt > "$next"
lock $bases/hub $bases/hub/requirements-jupyterhub-6.txt --constraint "$next" "$@"
