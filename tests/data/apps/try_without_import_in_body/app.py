try:
    value = compute()
except Exception:
    import tqdm
