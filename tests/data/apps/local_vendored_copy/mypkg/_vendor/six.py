moves = 1
