"""Environment archives: layers, the index, packing, unpacking, relocation and the scripts that travel inside.

The room knows files, tar members and frames. It knows nothing of where a layer's files come from (`build`), of what a
program imports (`analyze`), or of who carries an archive where (`manager`, `worker`).
"""
