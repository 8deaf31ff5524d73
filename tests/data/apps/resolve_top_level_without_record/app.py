import oldmod.sub
