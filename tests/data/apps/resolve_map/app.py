import weird.part
