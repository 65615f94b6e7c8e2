#!/bin/sh
# Makes .venv with exactly the packages of requirements-dev.txt and the `crossdock` command, then
# makes sure that a MySQL server is at hand. Run from the repository root (`make setup`); a second
# run that finds nothing changed ends at once.
set -eu

say() { echo "setup: $*" >&2; }

stop() {
  say "$*"
  exit 1
}

# The first argument is a Python of 3.11 or later. A pyenv shim may exist and still not run.
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# Debian's python3 is without ensurepip until python3-venv is installed.
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() {
  without_venv=
  for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
    new_enough "$candidate" || continue
    if can_make_venv "$candidate"; then
      echo "$candidate"
      return
    fi
    without_venv=${without_venv:-$candidate}
  done
  [ -n "$without_venv" ] || stop 'no Python 3.11 or later found (looked for python3, python3.13,' \
    'python3.12, python3.11). Install one, for example: apt-get install python3 python3-venv'
  add_venv_module "$without_venv"
  echo "$without_venv"
}

add_venv_module() {
  package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "$1 has no venv module: installing $package"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } >&2 || true
  fi
  can_make_venv "$1" || stop "$1 has no venv module. Install it: apt-get install $package"
}

install_packages() {
  if ! new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
  fi
  say 'installing the pinned packages of requirements-dev.txt'
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --require-hashes -r requirements-dev.txt
  say 'installing crossdock itself (editable)'
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation -e .
  wanted >.venv/setup-done
}

# What .venv was made for: these files, at this place (scripts in .venv/bin name it).
wanted() { cksum requirements-dev.txt pyproject.toml && pwd; }

mkdir -p .crossdock
if command -v flock >/dev/null; then
  exec 9>.crossdock/setup.lock
  flock 9
fi

if [ -x .venv/bin/crossdock ] && [ "$(wanted)" = "$(cat .venv/setup-done 2>/dev/null)" ]; then
  say '.venv is up to date'
else
  install_packages
fi

if [ -n "${CROSSDOCK_MYSQL_URL:-}" ]; then
  say 'MySQL: the one that CROSSDOCK_MYSQL_URL names'
else
  .venv/bin/python -m crossdock.stack.mysql_binaries
fi
say 'done'
