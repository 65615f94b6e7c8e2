"""The version that runs. The image holds the code without a package that could be asked for it."""

from typing import Final

VERSION: Final = "0.1.0"
