def f():
    import three
