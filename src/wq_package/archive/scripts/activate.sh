# Source this file from bash, zsh or any sh: it puts the environment that it lies in on PATH. `deactivate` takes it off again.
# It leaves the positional parameters and the shell's options alone. A plain sh cannot tell where this file is: set WQ_PACKAGE_PREFIX
# to the environment's folder first.
if [ -n "${BASH_VERSION-}" ]; then
    eval '_wqp_prefix=${BASH_SOURCE[0]}'
elif [ -n "${ZSH_VERSION-}" ]; then
    # `%x` garbles names that are not ASCII in the C locale; `$0` is the shell's own name in some modes.
    _wqp_prefix=$0
    case $_wqp_prefix in */activate | activate) ;; *) eval '_wqp_prefix=${(%):-%x}' ;; esac
else
    _wqp_prefix=${WQ_PACKAGE_PREFIX-}/bin/activate
fi
case $_wqp_prefix in */*) ;; *) _wqp_prefix=./$_wqp_prefix ;; esac
_wqp_prefix=$(CDPATH='' cd -P -- "${_wqp_prefix%/*}/.." && pwd -P)
if [ -n "$_wqp_prefix" ] && [ -x "$_wqp_prefix/bin/activate" ]; then
    if [ "${CONDA_PREFIX-}" != "$_wqp_prefix" ]; then
        _wqp_old_path=${PATH-} _wqp_old_prefix=${CONDA_PREFIX-}
        PATH=$_wqp_prefix/bin${PATH:+:$PATH}
    fi
    CONDA_PREFIX=$_wqp_prefix CONDA_DEFAULT_ENV=$_wqp_prefix PYTHONNOUSERSITE=1
    export PATH CONDA_PREFIX CONDA_DEFAULT_ENV PYTHONNOUSERSITE
    unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
    if [ -z "${SSL_CERT_FILE-}${SSL_CERT_DIR-}" ] && [ -f "$_wqp_prefix/lib/python@PYTHON@/site-packages/certifi/cacert.pem" ]; then
        SSL_CERT_FILE=$_wqp_prefix/lib/python@PYTHON@/site-packages/certifi/cacert.pem
        export SSL_CERT_FILE
    fi
    if [ -d "$_wqp_prefix/etc/conda/activate.d" ]; then
        for _wqp_file in "$_wqp_prefix"/etc/conda/activate.d/*.sh; do
            if [ -f "$_wqp_file" ]; then . "$_wqp_file"; fi
        done
        unset _wqp_file
    fi
    deactivate() {
        if [ -d "$CONDA_PREFIX/etc/conda/deactivate.d" ]; then
            for _wqp_file in "$CONDA_PREFIX"/etc/conda/deactivate.d/*.sh; do
                if [ -f "$_wqp_file" ]; then . "$_wqp_file"; fi
            done
            unset _wqp_file
        fi
        PATH=$_wqp_old_path
        case ${SSL_CERT_FILE-} in "$CONDA_PREFIX"/*) unset SSL_CERT_FILE ;; esac
        unset CONDA_DEFAULT_ENV PYTHONNOUSERSITE CONDA_PREFIX
        if [ -n "$_wqp_old_prefix" ]; then CONDA_PREFIX=$_wqp_old_prefix; export CONDA_PREFIX; fi
        unset _wqp_old_path _wqp_old_prefix
        unset -f deactivate
        hash -r 2>/dev/null || :
    }
    hash -r 2>/dev/null || :
    unset _wqp_prefix
else
    unset _wqp_prefix
    echo 'wq-package: cannot tell where the environment is; set WQ_PACKAGE_PREFIX to its folder' >&2
    false
fi
