"""Compiles the kernels for CPUs where there is a C++ compiler. Without one, snnax is complete, and slower."""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("snnax", "_kernels", "src")


class Build(build_ext):
    """A build that says why the kernels are left out, and goes on."""

    def build_extension(self, ext):
        try:
            import jaxlib

            ext.include_dirs.append(str(Path(jaxlib.__file__).parent / "include"))
            super().build_extension(ext)
        except Exception as error:  # every compiler fails in its own way
            print(f"snnax: the kernels are left out, for they do not compile here: {error}", file=sys.stderr)

    def get_ext_filename(self, fullname):
        return str(Path(*fullname.split(".")).with_suffix(".dso"))  # a library for ctypes, and no Python module

    def get_export_symbols(self, ext):
        return []

    def copy_extensions_to_source(self):
        built = Path(self.build_lib)
        self.extensions = [ext for ext in self.extensions if (built / self.get_ext_filename(ext.name)).exists()]
        super().copy_extensions_to_source()


kernels = Extension(
    "snnax._kernels.cpu",
    sorted(str(path) for path in SOURCES.glob("*.cc")),
    depends=sorted(str(path) for path in SOURCES.glob("*.h")),
    extra_compile_args=["-O3", "-std=c++17"],
    language="c++",
)
setup(ext_modules=[kernels], cmdclass={"build_ext": Build})
