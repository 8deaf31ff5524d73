class LazyLoader: pass
