def labels(params):
    return [], []
