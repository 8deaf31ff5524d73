try:
    import speedups
except ImportError:
    import fallback
