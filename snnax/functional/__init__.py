from . import surrogate as surrogate
