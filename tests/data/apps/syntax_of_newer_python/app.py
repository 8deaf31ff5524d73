import numpy
type Pair[T] = tuple[T, T] if 1 else t"{"
