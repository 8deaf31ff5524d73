from one import f
