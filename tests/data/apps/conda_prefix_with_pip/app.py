import wheelthing
