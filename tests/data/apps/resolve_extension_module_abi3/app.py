from rusty import go
