while True:
    import tqdm
    break
