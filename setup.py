"""Everything stands in pyproject.toml but this: a wheel carries configs/ in the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies ``configs/*.yaml`` to ``lungdx_paddle/configs``, where find_config looks."""

    def run(self) -> None:
        """Build as always, then copy (an editable install reads them where they lie)."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "lungdx_paddle", "configs")
            folder.mkdir(parents=True, exist_ok=True)
            for path in Path(__file__).with_name("configs").glob("*.yaml"):
                shutil.copy(path, folder)


setup(cmdclass={"build_py": BuildWithConfigs})
