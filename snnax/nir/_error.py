from types import ModuleType


class NIRImportError(ValueError):
    """A NIR graph that is damaged, not to be trusted, or without a meaning here. The message names the file and the
    node."""


class NIRExportError(ValueError):
    """A network that NIR cannot express. The message names the node and says what to do."""


def with_place(error: Exception) -> str:
    """The message of an error in a network, with the notes of the layers in which it came up."""
    places = [note for note in getattr(error, "__notes__", ()) if not note.startswith("---")]  # which is JAX's
    return " ".join([str(error), *places])


def import_nir(owner: str) -> ModuleType:
    """The package `nir`, which is an extra."""
    try:
        import nir
    except ImportError as error:
        raise ImportError(f'`{owner}` needs nir, and {error.name} is not here: pip install "snnax[nir]"') from error
    return nir
