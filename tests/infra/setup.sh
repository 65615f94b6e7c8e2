#!/bin/sh
# Makes .infra-venv with what `make infra-test` needs: Terraform itself, checkov, and the package that
# carries the google provider's schema, which is only read and so not unpacked. It is apart from
# .venv, for it is ten times as large. Run from the repository root, after `make setup`.
set -eu

wanted() { cksum requirements-infra.txt requirements-infra-schema.txt && pwd; }

if [ "$(wanted)" = "$(cat .infra-venv/setup-done 2>/dev/null)" ]; then
  exit 0
fi
echo 'infra-test: installing Terraform, checkov and the schema of its google provider' >&2
rm -rf .infra-venv
.venv/bin/python -m venv .infra-venv
.infra-venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --require-hashes -r requirements-infra.txt
.infra-venv/bin/python -m pip download --quiet --disable-pip-version-check \
  --require-hashes --no-deps --dest .infra-venv/schema -r requirements-infra-schema.txt
wanted >.infra-venv/setup-done
