code = open("x").read()
exec(code)
