import mylib.sub
