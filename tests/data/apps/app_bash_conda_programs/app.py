import parsl


@parsl.bash_app
def index(inputs=()):
    return """
    set -e
    samtools index {}
    """.format(inputs[0])
